"""The SQL of a data card: counts of a selection's shards, and what must be none of."""

from schemas.videos import SPLITS

MEASURES = {
    "loudness_lufs": ("c", "LUFS"),
    "silent_fraction": ("c", ""),
    "snr_db": ("c", "dB"),
    "speech_fraction": ("c", ""),
    "bandwidth_hz": ("c", "Hz"),
    "channel_correlation": ("c", ""),
    "luma": ("c", ""),
    "motion": ("c", ""),
    "frozen_fraction": ("c", ""),
    "sharpness": ("c", ""),
    "black_fraction": ("c", ""),
    "letterbox_fraction": ("c", ""),
    "score": ("s", ""),
}
ORDER = f"list_position({list(SPLITS)}, split)"
OF_SHARDS = "FROM materialized AS m WHERE m.selection = '{selection}'"
JOINED = """FROM (FROM materialized WHERE selection = '{selection}') AS m
LEFT JOIN (FROM selections WHERE selection = '{selection}' AND kept) AS s ON s.clip_id = m.clip_id AND s.split = m.split
LEFT JOIN (FROM clips WHERE spec = 'base' AND outcome = 'kept') AS c ON c.clip_id = m.clip_id
LEFT JOIN (FROM videos WHERE spec = 'base') AS v ON v.video_id = m.video_id"""
AMOUNTS = "count(*) AS clips, count(DISTINCT m.video_id) AS videos, sum(s.unique_s) / 3600 AS hours"
MEASURED = ",\n".join(
    f"{{{{place: {place}, measure: '{name}', unit: '{unit}', x: {view}.{name}::DOUBLE}}}}"
    for place, (name, (view, unit)) in enumerate(MEASURES.items())
)
QUERIES = {
    "all": f"SELECT {AMOUNTS}, count(DISTINCT m.part) AS shards, sum(m.tar_bytes)::BIGINT AS bytes\n{JOINED}",
    "splits": f"SELECT m.split, {AMOUNTS}, count(DISTINCT m.part) AS shards, sum(m.tar_bytes)::BIGINT AS bytes\n"
    f"{JOINED}\nGROUP BY m.split ORDER BY {ORDER.replace('split)', 'm.split)')}",
    "shards": f'SELECT m.part, count(*) AS clips, max(m.tar_offset + m.tar_bytes) AS "end"\n{OF_SHARDS}\n'
    "GROUP BY m.part ORDER BY m.part",
    "reasons": "SELECT reason, count(*) AS clips, count(DISTINCT video_id) AS videos\n"
    "FROM selections WHERE selection = '{selection}' GROUP BY reason ORDER BY clips DESC, reason",
    "licenses": f"SELECT v.license, {AMOUNTS}, count(DISTINCT v.author) AS authors\n{JOINED}\n"
    "GROUP BY v.license ORDER BY clips DESC, v.license",
    "rights": f"SELECT v.rights, {AMOUNTS}\n{JOINED}\nGROUP BY v.rights ORDER BY clips DESC, v.rights",
    "outcomes": "SELECT outcome, count(*) AS videos\nFROM videos WHERE spec = 'base' GROUP BY outcome "
    "ORDER BY videos DESC, outcome",
    "labels": f"SELECT s.label, count(*) AS clips\n{JOINED}\nGROUP BY s.label ORDER BY clips DESC, s.label",
    "lengths": "SELECT min(c.duration_s) AS shortest_s, max(c.duration_s) AS longest_s, min(c.num_frames) AS "
    f"fewest_frames, max(c.num_frames) AS most_frames\n{JOINED}",
    "measures": "SELECT measure, unit, count(*) AS clips, min(x) AS lowest, median(x) AS median, max(x) AS highest\n"
    f"FROM (SELECT unnest([{MEASURED}], recursive := true) {JOINED})\n"
    "WHERE isfinite(x) GROUP BY place, measure, unit ORDER BY place",
    "scorers": "SELECT model, eval_set, metric, value, low, high, n\nFROM summary WHERE model IN ({scorers}) "
    "AND isfinite(value) ORDER BY model, mixtures, eval_set, metric",
    "untraced": "SELECT count(*) FILTER (s.clip_id IS NULL) AS not_kept, "
    "count(*) FILTER (c.clip_id IS NULL) AS no_clip, "
    f"count(*) FILTER (v.video_id IS NULL) AS no_video\n{JOINED}",
}
UNTRACED = {
    "not_kept": "that selections/{selection} does not keep in their split",
    "no_clip": "that clips/base does not hold",
    "no_video": "whose video videos/base does not have",
}
