"""The PSP network in numpy the straightforward way: loops over clips and segments, each equation where it is used."""

import numpy as np

from pipeline.models.psp import JointHead, PSPConfig, PSPModel, SeparateHead

Arrays = dict[str, np.ndarray]


def plain_segments(
    model: PSPModel, config: PSPConfig, threshold: float, visual: np.ndarray, audio: np.ndarray
) -> tuple:
    """Visual, audio and fused segments [B, N, D] without dropout, of visual [B, N, R, C] and audio [B, N, A]."""
    w = weights(model)
    clips = []
    for cells, sound in zip(visual, audio, strict=True):
        if config.embed_audio:
            sound = sound @ w["embed_audio.0.weight"].T @ w["embed_audio.1.weight"].T
        attended = np.stack([attend(w, q, rows) for q, rows in zip(sound, cells, strict=True)])
        seen = attended @ w["embed_visual.0.weight"].T @ w["embed_visual.1.weight"].T
        clips.append(propagate(w, config, threshold, bilstm(w, "visual_lstm", seen), bilstm(w, "audio_lstm", sound)))
    return tuple(np.stack(rows) for rows in zip(*clips, strict=True))


def weights(model: PSPModel) -> Arrays:
    return {name: value.detach().numpy() for name, value in model.state_dict().items()}


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum()


def attend(w: Arrays, query: np.ndarray, rows: np.ndarray) -> np.ndarray:
    def dense(layer: str, x: np.ndarray) -> np.ndarray:
        return w[f"attention.{layer}.weight"] @ x + w.get(f"attention.{layer}.bias", 0)

    scores = []
    for row in rows:
        units = dense("map_row", relu(dense("embed_row", row))) + dense("map_query", relu(dense("embed_query", query)))
        scores.append(float(dense("score", np.tanh(units))[0]))
    return np.einsum("r,rc->c", softmax(np.array(scores)), rows)


def bilstm(w: Arrays, name: str, x: np.ndarray) -> np.ndarray:
    """Both directions of an LSTM, concatenated; gates in torch's order i, f, g, o."""
    directions = []
    for suffix, order in (("", range(len(x))), ("_reverse", range(len(x) - 1, -1, -1))):
        into, recurrent, b1, b2 = (
            w[f"{name}.{part}_l0{suffix}"] for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        hidden = cell = np.zeros(recurrent.shape[1])
        out = np.zeros((len(x), recurrent.shape[1]))
        for t in order:
            i, f, g, o = np.split(into @ x[t] + b1 + recurrent @ hidden + b2, 4)
            cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
            hidden = sigmoid(o) * np.tanh(cell)
            out[t] = hidden
        directions.append(out)
    return np.concatenate(directions, axis=1)


def propagate(w: Arrays, config: PSPConfig, threshold: float, visual: np.ndarray, audio: np.ndarray) -> tuple:
    def branch(name: str, x: np.ndarray) -> np.ndarray:
        return relu(x @ w[f"propagation.branches.{name}.weight"].T)

    if config.propagate:
        affinity = np.einsum("td,sd->ts", branch("visual_2", visual), branch("audio_1", audio)) / np.sqrt(config.width)
        v1, a2 = branch("visual_1", visual), branch("audio_2", audio)
        rule = (threshold, config.renormalise)
        visual = np.stack([visual[t] + shares(affinity[t], *rule) @ a2 for t in range(len(visual))])
        audio = np.stack([audio[t] + shares(affinity[:, t], *rule) @ v1 for t in range(len(audio))])
    if config.output_layer:
        visual = relu(visual @ w["propagation.outputs.visual.weight"].T)
        audio = relu(audio @ w["propagation.outputs.audio.weight"].T)
    visual, audio = norm(w, visual), norm(w, audio)
    return visual, audio, (visual + audio) / 2


def shares(affinity: np.ndarray, threshold: float, renormalise: bool) -> np.ndarray:
    """What one segment takes of each of the other modality: [N]."""
    share = relu(affinity) / (relu(affinity).sum() + 1e-8)
    kept = np.array([value if value > threshold else 0.0 for value in share])
    return kept / (kept.sum() + 1e-8) if renormalise else kept


def norm(w: Arrays, x: np.ndarray) -> np.ndarray:
    mean, variance = x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-6) * w["propagation.norm.weight"] + w["propagation.norm.bias"]


def plain_head(model: PSPModel, fused: np.ndarray) -> tuple[np.ndarray, ...]:
    """Event and category logits of a separate head, or the K + 1 logits of a joint one."""
    w = weights(model)
    if isinstance(model.head, SeparateHead):
        event = np.einsum("bnd,d->bn", fused, w["head.event.weight"][0]) + w["head.event.bias"]
        return event, fused.mean(axis=1) @ w["head.category.weight"].T + w["head.category.bias"]
    assert isinstance(model.head, JointHead)
    scores = relu(fused @ w["head.hidden.weight"].T) @ w["head.score.weight"].T
    if model.head.weight is not None:
        scores = scores * sigmoid(relu(scores @ w["head.weight.weight"].T))
    return (scores,)
