"""A checkpoint that is not whole, or not of its configuration, is refused by name and leaves nothing."""

import json
import re
import shutil

import pytest
import torch
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

import atmorep
from atmorep.cli import main
from atmorep.errors import AtmoRepError, ConfigError, IntegrityError
from atmorep.legacy.stage import import_weights

from .original import COUPLED, older, random_tensors, settings, three, write

WEIGHTS, JSON = "AtmoRep_idabc.mod", "model_idabc.json"


def checkpoint(folder, s=None, **changed):
    """A checkpoint with some tensors (dots as ``__``) replaced, or left out where None."""
    s = s or settings()
    tensors = random_tensors(s)
    for name, tensor in changed.items():
        tensors[name.replace("__", ".")] = tensor
    return write(folder / "checkpoint", s, {n: t for n, t in tensors.items() if t is not None})


def refusal(folder, kind=AtmoRepError):
    """What importing ``folder`` is refused with; nothing but the folder itself is there then."""
    before = sorted(folder.parent.iterdir())
    with pytest.raises(kind) as caught:
        import_weights(str(folder), str(folder.parent / "bundle"))
    assert sorted(folder.parent.iterdir()) == before
    return str(caught.value)


def changed(index, value, field=0):
    """Fields with one entry of one field replaced; the index (1, n) is in the list of the network."""
    fields = json.loads(json.dumps(COUPLED))
    if isinstance(index, tuple):
        fields[field][index[0]][index[1]] = value
    else:
        fields[field][index] = value
    return {"fields": fields}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder_att_type": "axial"}, "encoder_att_type = 'axial' is not supported: only dense attention"),
        ({"decoder_att_type": "axial_parallel"}, "decoder_att_type = 'axial_parallel' is not supported"),
        ({"with_cls": True}, "with_cls = True is not supported"),
        ({"decoder_self_att": True}, "decoder_self_att = True is not supported: the released code fails"),
        ({"learnable_mask": True}, "learnable_mask = True is not supported"),
        ({"size_token_info": 6}, "size_token_info = 6 is not supported: the released code gives 8 numbers"),
        ({"fields_targets": [["t2m"]]}, "fields_targets = [['t2m']] is not supported"),
        ({"decoder_num_layers": 3}, "decoder_num_layers = 3 exceeds encoder_num_layers = 2"),
        ({"decoder_cross_att_rate": 2.0}, "decoder_cross_att_rate = 2.0 goes beyond the 2 layers of"),
        ({"decoder_cross_att_rate": -0.5}, "decoder_cross_att_rate = -0.5: "),
        ({"decoder_cross_att_ratio": 1.0}, "decoder_cross_att_ratio = 1.0 gives 4 of decoder_num_heads = 4"),
        ({"decoder_cross_att_ratio": 0.2}, "decoder_cross_att_ratio = 0.2 gives 0 of decoder_num_heads = 4"),
        ({"net_tail_num_nets": 1}, "net_tail_num_nets = 1: "),
        ({"with_qk_lnorm": "yes"}, "with_qk_lnorm = 'yes': "),
        ({"encoder_num_heads": 4.5}, "encoder_num_heads = 4.5: "),
        ({"encoder_num_heads": 3}, "embed_dim = 16 must be even and a multiple of network.heads = 3"),
        ({"size_token_info_net": 16}, "network.info_dim = 16 must be below embed_dim = 16"),
        ({"encoder_num_layers": None}, "encoder_num_layers = None: "),
        ({"dropout_rate": ...}, "dropout_rate: is missing; the network cannot be known without it"),
        ({"fields": ...}, "fields: is missing"),
        ({"fields": []}, "fields = []: "),
        ({"years_train": []}, "years_train = []: "),
        ({"fields": [["velocity_u", 16]]}, "is not of the form [name, [1, width, [coupled fields], ...]"),
        (changed(0, "t2m"), "'t2m' is no field AtmoRep knows; it knows vorticity, divergence, velocity_u"),
        (changed((1, 2), ["geopotential_500"]), "'geopotential_500' is no field AtmoRep knows"),
        (changed((1, 0), 0), "fields.0.dynamic = 0: "),
        (changed((1, 1), -16), "fields.0.dim = -16: "),
        (changed((1, 2), ["velocity_u"]), "velocity_u is coupled to velocity_u, which must be others of"),
        (changed((1, 2), ["temperature", "temperature"]), "coupled to temperature, temperature, which must"),
        (changed((1, 2), ["divergence"]), "velocity_u is coupled to divergence, which must be others of"),
        (changed(0, "velocity_v"), "fields: names one twice: velocity_v, velocity_v, temperature"),
        (changed(2, [0]), "the levels of velocity_u are [0]; it has levels of the atmosphere, each once"),
        (changed(2, [96, 96]), "the levels of velocity_u are [96, 96]"),
        (changed(2, [138]), "there is no model level 138"),
        (changed(0, "total_precip", field=2), "the levels of total_precip are [123]; it has 0, the surface"),
        (changed(3, [2, 2, 4]), "velocity_v span (6, 4, 6) grid points, those of velocity_u (6, 4, 8); all"),
        (changed(4, [3, 2]), "fields.0.token_size"),
        (changed(6, "local by month", field=2), "fields.2.normalisation = 'local by month': "),
        ({"fields_prediction": [["divergence", 1.0]]}, "fields_prediction: divergence is none of fields"),
        ({"fields_prediction": [["velocity_u", 0.5]] * 2}, "names a field twice"),
        ({"fields_prediction": ["velocity_u"]}, "is not of the form [[name, weight], ...]"),
        ({"fields_prediction": []}, "fields_prediction = []: "),
    ],
)  # fmt: skip
def test_a_setting(changes, message, tmp_path):
    if isinstance(changes.get("fields"), list) and len(changes["fields"]) == 3:
        changes = {"fields_prediction": [["temperature", 1.0]], **changes}
    folder = checkpoint(tmp_path)
    values = {key: value for key, value in settings(**changes).items() if value is not ...}
    (folder / JSON).write_text(json.dumps(values))
    found = refusal(folder, ConfigError)
    assert message in found
    assert JSON in found


@pytest.mark.parametrize(
    ("index", "value"), [(5, None), (6, "global"), (7, "log")], ids=["masking", "normalisation", "more"]
)
def test_what_follows_the_known_entries_of_a_field(index, value, tmp_path):
    fields = settings()["fields"]
    fields[0] += [None] * (index + 1 - len(fields[0]))
    fields[0][6:] = ["global"] * (len(fields[0]) > 6)
    fields[0] += [value] * (index == 7)
    folder = checkpoint(tmp_path, settings(fields=fields))
    if index < 7:
        import_weights(str(folder), str(tmp_path / "bundle"))
    else:
        assert "has more than is known, ['log']" in refusal(folder, ConfigError)


@pytest.mark.parametrize("text", ["", "{", '{"fields": [', "[1, 2]", "\x00\xff", "null"])
def test_a_configuration_that_is_no_json(text, tmp_path):
    folder = checkpoint(tmp_path)
    (folder / JSON).write_bytes(text.encode("latin-1"))
    assert re.search(rf"{JSON}: is (truncated or no JSON|no configuration)", refusal(folder, ConfigError))


@pytest.mark.parametrize(
    "name",
    [
        "embeds_token_info__0__bias",
        "encoders__0__heads__1__proj_out__weight",
        "encoders__0__mlps__0__blocks__3__bias",
        "decoders__0__blocks__2__proj_heads_o_q__weight",
        "decoders__0__blocks__0__ln_k__bias",
        "tails__0__tail_nets__2__1__weight",
    ],
)
def test_a_tensor_that_is_missing_or_of_another_shape_or_broken(name, tmp_path):
    original = name.replace("__", ".")
    tensor = random_tensors(settings())[original]
    broken = tensor.clone()
    broken.view(-1)[-1] = float("nan")
    for given_tensor, message in (
        (None, f"{original} is missing; it is not of the configuration beside it"),
        (
            tensor[:-1],
            f"{original} has the shape {tuple(tensor[:-1].shape)}, by the configuration beside it ",
        ),
        (tensor.to(torch.int32), f"{original} is of type torch.int32"),
        (broken, f"{original} holds infinite numbers or none"),
    ):
        assert f"{WEIGHTS}: {message}" in refusal(
            checkpoint(tmp_path, **{name: given_tensor}), IntegrityError
        )


def test_tensors_that_nothing_is_known_of(tmp_path):
    folder = checkpoint(tmp_path, masks__0=torch.zeros(3), decoders__1__blocks__0=torch.zeros(3))
    assert "decoders.1.blocks.0, masks.0 have no place in a network of the" in refusal(folder, IntegrityError)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder_num_layers": 3}, "encoders.0.heads.2.proj_heads.weight is missing"),
        ({"encoder_num_layers": 2, "decoder_num_layers": 1}, "decoders.0.blocks.2.ln_k.bias, "),
        ({"decoder_num_heads": 8}, "ln_q.weight has the shape (4,), by the configuration beside it (2,)"),
        ({"net_tail_num_layers": 1}, "tails.0.tail_nets.0.1.weight has the shape (12, 16)"),
        ({"encoder_num_mlp_layers": 3}, "mlps.0.blocks.3.weight has the shape (16, 32)"),
        ({"size_token_info_net": 5}, "embeds_token_info.0.weight has the shape (4, 8)"),
        ({"net_tail_num_nets": 2}, "tails.0.tail_nets.2.0.bias"),
        (
            three(),
            "heads.0.proj_out.weight has the shape (16, 16), by the configuration beside it (16, 24)",
        ),
    ],
)
def test_the_configuration_of_another_checkpoint(changes, message, tmp_path):
    folder = checkpoint(tmp_path)
    (folder / JSON).write_text(json.dumps(settings(**changes)))
    found = refusal(folder, IntegrityError)
    assert WEIGHTS in found
    assert message in found


def test_an_embedding_that_is_not_the_same_under_both_names(tmp_path):
    folder = checkpoint(tmp_path, embeds__0__bias=torch.zeros(12))
    assert "embeds.0.bias and encoders.0.embed.bias differ, which are one" in refusal(folder, IntegrityError)


def test_several_coupled_heads_with_which_the_released_code_fails(tmp_path):
    folder = checkpoint(tmp_path, three(coupling_num_heads_per_field=2))
    assert "coupling_num_heads_per_field = 2: the released code fails" in refusal(folder, ConfigError)


def test_coupled_fields_without_coupled_heads(tmp_path):
    folder = checkpoint(tmp_path)
    (folder / JSON).write_text(json.dumps(three(coupling_num_heads_per_field=0)))
    assert "coupling_num_heads_per_field = 0, but fields are coupled" in refusal(folder, ConfigError)


def per_head(folder, s, change):
    tensors = older(s, random_tensors(s))
    change(tensors)
    return write(folder / "checkpoint", s, tensors)


def test_heads_of_the_older_layout(tmp_path):
    gone = "encoders.1.heads.0.heads_coupling.0.proj_ks.weight"
    cases = {
        f"{gone} is missing": lambda t: t.pop(gone),
        "encoders.2.heads.1.heads_self.4.proj_qs.weight have no place": lambda t: t.update(
            {"encoders.2.heads.1.heads_self.4.proj_qs.weight": torch.zeros(2, 8)}
        ),
        "decoders.0.blocks.0.heads.1.proj_vs.weight has the shape (4, 15)": lambda t: t.update(
            {"decoders.0.blocks.0.heads.1.proj_vs.weight": torch.zeros(4, 15)}
        ),
        "encoders.0.heads.0.proj_heads.weight is there in both layouts": lambda t: t.update(
            {"encoders.0.heads.0.proj_heads.weight": torch.zeros(48, 16)}
        ),
        "encoders.0.heads.0.heads_other.0.proj_qs.weight: how such heads of the encoder are applied is not "
        "defined": lambda t: t.update(
            {"encoders.0.heads.0.heads_other.0.proj_qs.weight": torch.zeros(4, 16)}
        ),
        "decoders.1.blocks.0.ln_k.bias is missing": lambda t: t.update(
            {f"decoders.1.blocks.0.{n}": torch.zeros(6) for n in ("ln_q.weight", "ln_q.bias", "ln_k.weight")}
        ),
    }
    for message, change in cases.items():
        assert message in refusal(per_head(tmp_path, three(), change), IntegrityError)


def test_folders_without_one_checkpoint(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert f"{empty}: holds no model_id*.json, but nothing" in refusal(empty, IntegrityError)
    assert "holds no model_id*.json" in refusal(tmp_path / "absent", IntegrityError)
    folder = checkpoint(tmp_path)
    shutil.copy(folder / JSON, folder / "model_idxyz.json")
    assert "holds more than one model_id*.json" in refusal(folder, IntegrityError)
    (folder / JSON).unlink()
    found = refusal(folder, IntegrityError)
    assert f"holds no AtmoRep_idxyz_epoch*.mod, but {WEIGHTS}, model_idxyz.json" in found
    (folder / "model_idxyz.json").unlink()
    assert "holds no model_id*.json" in refusal(folder, IntegrityError)


def test_a_bundle_that_is_there_already_is_kept(tmp_path):
    folder, target = checkpoint(tmp_path), tmp_path / "bundle"
    target.mkdir()
    (target / "precious").write_text("x")
    assert f"{target}: exists already" in refusal(folder, IntegrityError)
    assert (target / "precious").read_text() == "x"


class Harmful:
    """Runs a command where it is unpickled."""

    def __reduce__(self):
        return (exec, ("import pathlib; pathlib.Path('harm').touch()",))


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize(
    "wrap", [lambda x: x, lambda x: {"embeds.0.weight": x}], ids=["alone", "as a tensor"]
)
def test_nothing_in_the_file_is_run(archive, wrap, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = checkpoint(tmp_path)
    torch.save(wrap(Harmful()), folder / WEIGHTS, _use_new_zipfile_serialization=archive)
    assert "no state dictionary of tensors" in refusal(folder, IntegrityError)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("content", [[1, 2], {"embeds.0.weight": 3.0}, {1: torch.zeros(2)}, torch.zeros(3)])
def test_other_things_than_a_state_dictionary(content, tmp_path):
    folder = checkpoint(tmp_path)
    torch.save(content, folder / WEIGHTS)
    assert f"{WEIGHTS}: holds other things than the tensors" in refusal(folder, IntegrityError)


@pytest.fixture(scope="module", params=[True, False], ids=["archive", "before archives"])
def small(request, tmp_path_factory):
    """A checkpoint, the bytes of its weights, and the weights it is imported to."""
    folder = checkpoint(tmp_path_factory.mktemp("small"))
    tensors = torch.load(folder / WEIGHTS, weights_only=True)
    torch.save(tensors, folder / WEIGHTS, _use_new_zipfile_serialization=request.param)
    import_weights(str(folder), str(folder.parent / "whole"))
    weights = atmorep.load(folder.parent / "whole").model.state_dict()
    return folder, (folder / WEIGHTS).read_bytes(), weights, request.param


MANY = hypothesis(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@MANY
@given(share=st.floats(0, 1, exclude_max=True))
@example(share=0)
def test_a_truncated_file(share, small):
    folder, whole, _, _ = small
    (folder / WEIGHTS).write_bytes(whole[: int(share * len(whole))])
    assert WEIGHTS in refusal(folder, IntegrityError)


@MANY
@given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_an_altered_byte_changes_nothing_or_is_refused(share, bit, small):
    """Files of before archives have no check sums: there a changed weight is not noticed."""
    folder, whole, weights, archive = small
    altered, target = bytearray(whole), folder.parent / "altered"
    altered[int(share * len(whole))] ^= 1 << bit
    (folder / WEIGHTS).write_bytes(altered)
    shutil.rmtree(target, ignore_errors=True)
    try:
        import_weights(str(folder), str(target))
    except IntegrityError:
        assert not target.exists()
    else:
        found = atmorep.load(target).model.state_dict()
        assert not archive or all(torch.equal(found[name], weights[name]) for name in weights)


def test_a_disk_full_of_nothing_is_no_checkpoint(tmp_path):
    folder = checkpoint(tmp_path)
    for content in (b"", b"\x00" * 1000, b"PK\x03\x04" + b"\x00" * 1000, b"\x80\x02}q\x00."):
        (folder / WEIGHTS).write_bytes(content)
        assert WEIGHTS in refusal(folder, IntegrityError)


def test_the_command_says_what_is_wrong_and_ends_with_status_2(tmp_path, capsys):
    folder = checkpoint(tmp_path, settings(with_cls=True))
    assert main(["import-weights", str(folder), str(tmp_path / "bundle")]) == 2
    assert "atmorep import-weights: " in capsys.readouterr().err
    assert not (tmp_path / "bundle").exists()
