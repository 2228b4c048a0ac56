"""Words of the report page: those that occur, by the alphabet."""

from pipeline.reports.glossary import TERMS, used_terms


def test_terms_that_occur_are_explained_by_the_alphabet() -> None:
    assert list(used_terms("on-screen sound, SI-SNRi; AUC and OSR")) == ["AUC", "OSR", "SI-SNRi"]
    assert used_terms("", TERMS) == {}
