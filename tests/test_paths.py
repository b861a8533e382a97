"""Which bundle predicts a field."""

from atmorep.config import parse
from atmorep.paths import Paths


def changed(config, **fields):
    values = config.model_dump(mode="json")
    for name, keys in fields.items():
        values["fields"][name] |= keys
    return Paths(parse(values))


def test_a_field_that_only_informs_others_is_predicted_by_its_own_model(configure):
    config = configure(fields={"t": {}, "u": {}})
    both = changed(config, u={"coupled": ["t"]})
    one = changed(config, u={"coupled": ["t"]}, t={"predicted": False})
    assert one.models("u") == [one.multiformer, one.model("u")]
    assert both.models("t") == [both.multiformer, both.model("t")]
    assert one.models("t") == [one.model("t")]
    assert one.scored("t") == one.model("t") == both.model("t")
    assert one.multiformer != both.multiformer
    assert one.evaluation("t") != both.evaluation("t")
