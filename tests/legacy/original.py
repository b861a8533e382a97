"""The original's network as it is published, tensor by tensor and head by head in double precision.

Written from the paper and the layout of the checkpoints, to be compared with; it is checked itself against
what the original computed (test_published.py). Also made here: checkpoints of any settings.
"""

import copy
import json
import math

import numpy as np
import torch
from torch.nn.functional import gelu, layer_norm, linear

SETTINGS = {
    "fields": [["velocity_u", [1, 16, [], 0], [96, 137], [2, 2, 3], [3, 2, 2], [0.5, 0.9, 0.2, 0.05]]],
    "fields_prediction": [["velocity_u", 1.0]],
    "fields_targets": [],
    "years_train": [1979, 1980, 1982],
    "years_val": [2021],
    "time_sampling": 1,
    "size_token_info": 8,
    "size_token_info_net": 4,
    "with_cls": False,
    "with_layernorm": True,
    "coupling_num_heads_per_field": 1,
    "dropout_rate": 0.05,
    "with_qk_lnorm": False,
    "encoder_num_layers": 2,
    "encoder_num_heads": 4,
    "encoder_num_mlp_layers": 2,
    "encoder_att_type": "dense",
    "decoder_num_layers": 2,
    "decoder_num_heads": 4,
    "decoder_num_mlp_layers": 2,
    "decoder_self_att": False,
    "decoder_cross_att_ratio": 0.5,
    "decoder_cross_att_rate": 1.0,
    "decoder_att_type": "dense",
    "net_tail_num_nets": 3,
    "net_tail_num_layers": 0,
}

COUPLED = [
    ["velocity_u", [1, 16, ["velocity_v", "temperature"], 0], [96, 137], [2, 2, 3], [3, 2, 2], [0.5]],
    ["velocity_v", [1, 24, ["temperature"], 1], [137, 96], [2, 1, 2], [3, 4, 3], [0.5]],
    ["temperature", [1, 8, ["velocity_v", "velocity_u"], 3], [123], [1, 2, 1], [6, 2, 6], [0.5], "local"],
]
"""Three coupled fields of different widths, levels and tokens."""

NORMS = [f"ln_{one}.{part}" for one in "qk" for part in ("weight", "bias")]


def settings(**changes):
    return {**copy.deepcopy(SETTINGS), **changes}


def three(**changes):
    weights = [[field[0], 1.0] for field in COUPLED]
    return settings(**{"fields": copy.deepcopy(COUPLED), "fields_prediction": weights, **changes})


def _dims(s):
    return {name: network[1] for name, network, *_ in s["fields"]}


def _cross_heads(s):
    return int(s["decoder_num_heads"] * s["decoder_cross_att_ratio"])


def shapes(s):
    """Names and shapes of all tensors of a checkpoint."""
    info, dims, found = s["size_token_info_net"], _dims(s), {}

    def layer(name, out, into, bias=True):
        found[f"{name}.weight"] = (out, into)
        if bias:
            found[f"{name}.bias"] = (out,)

    def mlp(name, dim, layers):
        widths = [dim, *[2 * dim] * (max(2, layers) - 1), dim]
        for n in range(len(widths) - 1):
            layer(f"{name}.blocks.{3 * n}", widths[n + 1], widths[n])

    layer("embed_token_info", info, 8)
    for n, (_, (_, dim, coupled, *_), _, _, size, *_) in enumerate(s["fields"]):
        layer(f"embeds_token_info.{n}", info, 8)
        layer(f"embeds.{n}", dim - info, math.prod(size))
        layer(f"encoders.{n}.embed", dim - info, math.prod(size))
        width = dim // s["encoder_num_heads"]
        each = width * s["coupling_num_heads_per_field"]
        for i in range(s["encoder_num_layers"]):
            name = f"encoders.{n}.heads.{i}"
            layer(f"{name}.proj_out", dim, dim + each * len(coupled), bias=False)
            layer(f"{name}.proj_heads", 3 * dim, dim, bias=False)
            if coupled:
                layer(f"{name}.proj_heads_other.0", each * len(coupled), dim, bias=False)
            for k, other in enumerate(coupled):
                layer(f"{name}.proj_heads_other.{k + 1}", 2 * each, dims[other], bias=False)
            mlp(f"encoders.{n}.mlps.{i}", dim, s["encoder_num_mlp_layers"])
    sizes = {field[0]: math.prod(field[4]) for field in s["fields"]}
    for n, (field, _) in enumerate(s["fields_prediction"]):
        dim, width = dims[field], dims[field] // s["decoder_num_heads"]
        cross = _cross_heads(s)
        for i in range(s["decoder_num_layers"]):
            name = f"decoders.{n}.blocks.{2 * i}"
            layer(f"{name}.proj_heads", 3 * (dim - cross * width), dim, bias=False)
            layer(f"{name}.proj_heads_o_q", cross * width, dim, bias=False)
            layer(f"{name}.proj_heads_o_kv", 2 * cross * width, dim, bias=False)
            layer(f"{name}.proj_out", dim, dim, bias=False)
            found |= {f"{name}.{norm}": (width,) for norm in NORMS}
            mlp(f"decoders.{n}.blocks.{2 * i + 1}", dim, s["decoder_num_mlp_layers"])
        for m in range(s["net_tail_num_nets"]):
            name = f"tails.{n}.tail_nets.{m}"
            found |= {f"{name}.0.weight": (dim,), f"{name}.0.bias": (dim,)}
            for k in range(s["net_tail_num_layers"]):
                layer(f"{name}.{1 + 2 * k}", dim, dim)
            layer(f"{name}.{1 + 2 * s['net_tail_num_layers']}", sizes[field], dim)
    return found


def random_tensors(s, seed=0):
    """Weights of order one behind every layer, so that none can be mistaken without a difference."""
    random = torch.Generator().manual_seed(seed)
    made = {}
    for name, shape in shapes(s).items():
        values = torch.randn(shape, generator=random)
        made[name] = values / shape[-1] ** 0.5 if len(shape) > 1 else values + name.endswith("ln_q.weight")
    for n in range(len(s["fields"])):
        for part in ("weight", "bias"):
            made[f"embeds.{n}.{part}"] = made[f"encoders.{n}.embed.{part}"]
    return made


def older(s, tensors, norms=False):
    """The same checkpoint with a projection a head; the norms of the decoder's queries and keys left out."""
    made, nested = dict(tensors), s["coupling_num_heads_per_field"]

    def split(name, kind, heads, parts):
        for head, rows in enumerate(made.pop(f"{name}.weight").chunk(heads)):
            for part, weight in zip(parts, rows.chunk(len(parts)), strict=True):
                yield f"{name.rsplit('.proj_', 1)[0]}.{kind}.{head}.proj_{part}.weight", weight.clone()

    for name in list(tensors):
        block, _, last = name.removesuffix(".weight").partition(".proj_heads")
        if not block.startswith(("encoders", "decoders")) or ".proj_heads" not in name:
            continue
        encoder = block.startswith("encoders")
        if last == "" and encoder:
            made |= split(f"{block}.proj_heads", "heads_self", s["encoder_num_heads"], ["qs", "ks", "vs"])
        elif last == "":
            own = s["decoder_num_heads"] - _cross_heads(s)
            made |= split(f"{block}.proj_heads", "heads", own, ["qs", "ks", "vs"])
        elif last == "_o_q":
            made |= split(f"{block}.proj_heads_o_q", "heads_other", _cross_heads(s), ["qs"])
        elif last == "_o_kv":
            made |= split(f"{block}.proj_heads_o_kv", "heads_other", _cross_heads(s), ["ks", "vs"])
        else:
            coupled = s["fields"][int(block.split(".")[1])][1][2]
            number = int(last.removeprefix("_other."))
            heads, parts = (len(coupled) * nested, ["qs"]) if number == 0 else (nested, ["ks", "vs"])
            first = max(0, number - 1) * nested
            for key, weight in split(f"{block}.proj_heads{last}", "heads_coupling", heads, parts):
                kind, head, part = key.removeprefix(f"{block}.").split(".")[:3]
                made[f"{block}.{kind}.{int(head) + first}.{part}.weight"] = weight
    return made if norms else {name: t for name, t in made.items() if not name.endswith(tuple(NORMS))}


def write(folder, s, tensors, identifier="abc"):
    """Write a checkpoint as the original does."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"model_id{identifier}.json").write_text(json.dumps(s))
    torch.save(tensors, folder / f"AtmoRep_id{identifier}.mod")
    return folder


def random_inputs(s, seed=0, batch=2):
    """Source (B, L, K, I, J, V) and token information (B, L, K, I, J, 8) of each field by its own name."""
    random, made = np.random.default_rng(seed), {}
    for name, _, levels, tokens, size, *_ in s["fields"]:
        grid = (batch, len(levels), *tokens)
        source = random.standard_normal((*grid, math.prod(size))).astype(np.float32)
        info = random.standard_normal((*grid, 8)).astype(np.float32)
        made[name] = (torch.from_numpy(source), torch.from_numpy(info))
    return made


class Original:
    """The original with given weights.

    Args:
        s: its settings.
        tensors: its weights, in the current layout.
        query_norm: whether queries of coupled heads are normed too, as in the code of the older layout.
    """

    def __init__(self, s, tensors, query_norm=False):
        self.s, self.query_norm = s, query_norm
        self.w = {name: tensor.double() for name, tensor in tensors.items()}
        self.number = {field[0]: n for n, field in enumerate(s["fields"])}

    def _apply(self, name, x):
        return linear(x, self.w[f"{name}.weight"], self.w.get(f"{name}.bias"))

    def _norm(self, x):
        return layer_norm(x, x.shape[-1:]) if self.s["with_layernorm"] else x

    def embed(self, field, source, info):
        """(B, N, D)."""
        n, tokens = self.number[field], source.shape[1:5]
        own = self.w["embeds_token_info.0.weight"].abs().max() > 0
        x = torch.cat(
            [
                self._apply(f"embeds.{n}", source.double().flatten(1, 4)),
                self._apply(
                    f"embeds_token_info.{n}" if own else "embed_token_info", info.double().flatten(1, 4)
                ),
            ],
            -1,
        )
        return x + position(tokens, x.shape[-1])

    def _attend(self, q, k, v):
        """Of one head, (B, N, d)."""
        return (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1) @ v

    def _encoder_heads(self, name, x, others):
        normed, heads = self._norm(x), self.s["encoder_num_heads"]
        qk = (lambda y: layer_norm(y, y.shape[-1:])) if self.s["with_qk_lnorm"] else (lambda y: y)
        outs = []
        for rows in self.w[f"{name}.proj_heads.weight"].chunk(heads):
            q, k, v = (linear(normed, part) for part in rows.chunk(3))
            outs.append(self._attend(qk(q), qk(k), v))
        for n, other in enumerate(others):
            each = self.s["coupling_num_heads_per_field"]
            queries = self.w[f"{name}.proj_heads_other.0.weight"].chunk(len(others))[n].chunk(each)
            pairs = self.w[f"{name}.proj_heads_other.{n + 1}.weight"].chunk(each)
            for query, pair in zip(queries, pairs, strict=True):
                q = linear(normed, query)
                k, v = (linear(self._norm(other), part) for part in pair.chunk(2))
                outs.append(self._attend(qk(q) if self.query_norm else q, qk(k), v))
        return x + self._apply(f"{name}.proj_out", torch.cat(outs, -1))

    def _mlp(self, name, x, layers):
        y = self._norm(x)
        for n in range(max(2, layers)):
            y = gelu(self._apply(f"{name}.blocks.{3 * n}", y))  # behind the last one too
        return x + y

    def _decoder_heads(self, name, x, encoded):
        normed, other = layer_norm(x, x.shape[-1:]), layer_norm(encoded, encoded.shape[-1:])
        cross = _cross_heads(self.s)
        width = x.shape[-1] // self.s["decoder_num_heads"]

        def qk(one, y):
            return layer_norm(
                y, (width,), *(self.w[f"{name}.ln_{one}.{part}"] for part in ("weight", "bias"))
            )

        outs = []
        for rows in self.w[f"{name}.proj_heads.weight"].chunk(self.s["decoder_num_heads"] - cross):
            q, k, v = (linear(normed, part) for part in rows.chunk(3))
            outs.append(self._attend(qk("q", q), qk("k", k), v))
        pairs = self.w[f"{name}.proj_heads_o_kv.weight"].chunk(cross)
        for query, pair in zip(self.w[f"{name}.proj_heads_o_q.weight"].chunk(cross), pairs, strict=True):
            k, v = (linear(other, part) for part in pair.chunk(2))
            outs.append(self._attend(qk("q", linear(normed, query)), qk("k", k), v))
        return x + self._apply(f"{name}.proj_out", torch.cat(outs, -1))

    def _tail(self, name, x):
        dim, hidden = x.shape[-1], self.s["net_tail_num_layers"]
        y = layer_norm(x, (dim,), self.w[f"{name}.0.weight"], self.w[f"{name}.0.bias"])
        for n in range(hidden):
            y = gelu(self._apply(f"{name}.{1 + 2 * n}", y))
        return self._apply(f"{name}.{1 + 2 * hidden}", y)

    def __call__(self, inputs):
        """Members (B, N, M, V) by field, from source and token information by field."""
        s = self.s
        x = {name: self.embed(name, *pair) for name, pair in inputs.items()}
        layers = []
        for i in range(s["encoder_num_layers"]):
            attended = {}
            for name, network in ((field[0], field[1]) for field in s["fields"]):
                block = f"encoders.{self.number[name]}.heads.{i}"
                attended[name] = self._encoder_heads(block, x[name], [x[other] for other in network[2]])
            x = {
                name: self._mlp(f"encoders.{self.number[name]}.mlps.{i}", y, s["encoder_num_mlp_layers"])
                for name, y in attended.items()
            }
            layers.insert(0, x)
        predicted = {}
        for n, (name, _) in enumerate(s["fields_prediction"]):
            y = layers[0][name]
            for i in range(s["decoder_num_layers"]):
                encoded = layers[int(s["decoder_cross_att_rate"] * i)][name]
                y = self._decoder_heads(f"decoders.{n}.blocks.{2 * i}", y, encoded)
                y = self._mlp(f"decoders.{n}.blocks.{2 * i + 1}", y, s["decoder_num_mlp_layers"])
            nets = [self._tail(f"tails.{n}.tail_nets.{m}", y) for m in range(s["net_tail_num_nets"])]
            predicted[name] = torch.stack(nets, 2)
        return predicted


def position(tokens, dim):
    """Positional encoding (N, D), with the original's row.

    In single precision: the angles are large, and their rounding is part of what was trained with.
    """
    _, steps, rows, columns = tokens
    place = np.arange(math.prod(tokens))
    level, time = place // (steps * rows * columns), place // (rows * columns) % steps
    row, column = place % (rows * columns) // rows, place % (rows * columns) % columns
    frequency = 2 * np.pi * torch.arange(0, dim, 2) / dim
    turn = [torch.outer(torch.from_numpy(n), frequency) for n in (time, 8 * row, level, 8 * column)]
    made = torch.empty(len(place), dim)
    made[:, 0::2] = torch.sin(turn[0]) + 0.5 * torch.sin(turn[1])
    made[:, 1::2] = torch.cos(turn[2]) + 0.5 * torch.cos(turn[3])
    return made.double()
