"""The Multiformer: the transformers of several fields, coupled by cross-attention, or of one alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from atmorep.config.network import Network
from atmorep.model.field_transformer import Embedded, FieldShape, FieldTransformer
from atmorep.model.inputs import Inputs


class Multiformer(nn.Module):
    """p(y | x, α) of one or more fields (Lessig et al. 2023, section 3.3).

    The fields run block by block: each field's block sees what the block before made of the others, so that
    their order does not matter.

    Args:
        shapes: shapes by field.
        coupled: for each field, the fields it attends to; all of ``shapes``.
        config: the network section of the configuration.
    """

    def __init__(
        self, shapes: Mapping[str, FieldShape], coupled: Mapping[str, Sequence[str]], config: Network
    ) -> None:
        super().__init__()
        self.shapes = dict(shapes)
        self.fields = nn.ModuleDict(
            {
                name: FieldTransformer(shape, config, {other: shapes[other].dim for other in coupled[name]})
                for name, shape in shapes.items()
            }
        )

    def forward(self, inputs: Mapping[str, Inputs], wanted: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Predict every token.

        Args:
            inputs: of each field of the model.
            wanted: fields to predict, out of :attr:`predicted`; all of these where absent.

        Returns:
            Members (B, L, K, I, J, M, V) in normalised units, by field.
        """
        return self.process(self.embed(inputs), wanted or self.predicted)

    def embed(self, inputs: Mapping[str, Inputs]) -> dict[str, Embedded]:
        """Embed the tokens of each field of the model."""
        return {name: field.embed(inputs[name]) for name, field in self._transformers.items()}

    def process(self, embedded: Mapping[str, Embedded], wanted: Sequence[str]) -> dict[str, Tensor]:
        """Run the blocks and tails of all fields.

        All shapes are known from those of the arguments; how many tokens enter the encoder may depend on the
        masks, and is decided before.

        Args:
            embedded: tokens of each field of the model.
            wanted: fields to predict.
        """
        decoded = self.decode(embedded, wanted)
        return {name: self.tails(name, embedded[name], x) for name, x in decoded.items()}

    def tails(self, name: str, embedded: Embedded, decoded: Tensor) -> Tensor:
        """Members of a field (B, L, K, I, J, M, V) from what :meth:`decode` made of it."""
        return self._transformers[name].predict(embedded, decoded)

    def decode(self, embedded: Mapping[str, Embedded], wanted: Sequence[str]) -> dict[str, Tensor]:
        """Run the blocks of all fields: what the tails predict from.

        Args:
            embedded: tokens of each field of the model.
            wanted: fields, out of :attr:`predicted`.

        Returns:
            Tokens of the decoder (B, L, K, I, J, D) by field.
        """
        transformers = self._transformers
        layers = [{name: start.entering for name, start in embedded.items()}]
        for number in range(self.blocks):
            before = layers[-1]
            layers.append(
                {
                    name: field.encoder[number](before[name], {o: before[o] for o in field.coupled})
                    for name, field in transformers.items()
                }
            )
        return {
            name: transformers[name]
            .decode(embedded[name], [layer[name] for layer in layers[1:]])
            .unflatten(1, self.shapes[name].tokens)
            for name in wanted
        }

    @property
    def _transformers(self) -> dict[str, FieldTransformer]:
        return dict(self.fields.items())  # type: ignore[arg-type]

    @property
    def predicted(self) -> tuple[str, ...]:
        """Fields that the model can predict."""
        return tuple(name for name, field in self.fields.items() if field.tail is not None)

    @property
    def blocks(self) -> int:
        """Blocks of each field's encoder."""
        first: FieldTransformer = next(iter(self.fields.values()))  # type: ignore[assignment]
        return len(first.encoder)
