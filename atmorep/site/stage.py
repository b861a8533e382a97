"""``atmorep site``: from one file to wind and power at sites, as data, table and page."""

from __future__ import annotations

from pathlib import Path

from atmorep.artefacts import write_text
from atmorep.config import read, validated
from atmorep.config.site import SiteStudy
from atmorep.inference.described import writer
from atmorep.report import units
from atmorep.report.page import template_of
from atmorep.site import figures
from atmorep.site.result import result, table
from atmorep.site.wind import wind_at_sites


def site(study: str) -> None:
    """Write ``sites.nc``, ``sites.csv`` and ``sites.html`` into the folder that a study names.

    Args:
        study: YAML file with the keys of :class:`atmorep.config.site.SiteStudy`.

    Raises:
        AtmoRepError: if something is refused; nothing is written then.
    """
    settings = validated(SiteStudy, read(study), study)
    found = result(settings, wind_at_sites(settings))
    rows = table(found)
    pictures = [draw(found) for draw in (figures.capacity_factors, figures.roses, figures.series)]
    page = template_of("atmorep.site").render(
        study=settings,
        found=found,
        rows=rows.to_dict("records"),
        pictures=pictures,
        number=units.number,
        interval=units.interval,
    )
    writer(str(settings.output / "sites.nc"))(found)
    write_text(Path(settings.output) / "sites.csv", rows.to_csv(index=False, float_format="%.6g"))
    write_text(Path(settings.output) / "sites.html", page)
