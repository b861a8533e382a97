"""The documentation is in step with the code, and builds without a warning."""

import ast
import re
import subprocess
import sys

import pytest

from atmorep.cli import COMMANDS


def literals(folder):
    """All string constants in the code below a folder, those of an f-string joined by an ellipsis."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                yield "…".join(p.value if isinstance(p, ast.Constant) else "" for p in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_every_quoted_message_is_still_in_the_code(repository):
    page = (repository / "docs/troubleshooting.md").read_text()
    quoted = re.findall(r"^\| `(.+?)` \|", page, re.MULTILINE)
    assert len(quoted) > 35
    code = "\n".join(literals(repository / "atmorep")) + "\n".join(literals_of_rules(repository))
    for message in quoted:
        lost = [part for part in re.split(r"\s*…\s*", message) if part and part not in code]
        assert not lost, f"docs/troubleshooting.md quotes {message!r}, but the code has no {lost}"


def literals_of_rules(repository):
    """Texts of the rules, whose language Python's parser does not read."""
    return [path.read_text() for path in (repository / "workflow/rules").glob("*.smk")]


def test_every_stage_is_described_with_its_command(repository):
    page = (repository / "docs/stages.md").read_text()
    stages = [c.name for c in COMMANDS if c.configured and c.name not in ("check", "size", "scale")]
    assert sorted(re.findall(r"^## ([a-z-]+)$", page, re.MULTILINE)) == sorted(stages)
    shown = re.findall(r"atmorep ([a-z-]+)", page)
    assert set(stages) <= set(shown) <= {c.name for c in COMMANDS}
    for rules in set(re.findall(r"workflow/rules/\w+\.smk", page)):
        assert (repository / rules).exists()


def test_every_way_to_use_a_model_is_described(repository):
    page = (repository / "docs/use.md").read_text()
    for command in COMMANDS:
        assert (
            command.configured
            or command.name in ("import-weights", "schema")
            or f"atmorep {command.name}" in page
        )


def test_the_site_builds_without_a_warning(repository, tmp_path):
    pytest.importorskip("sphinx", reason="no Sphinx; pip install 'atmorep[dev]'")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-E", "-d", tmp_path / "trees"]
    done = subprocess.run([*command, repository / "docs", tmp_path / "site"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = {path.stem for path in (repository / "docs").glob("*.md")}
    assert {path.stem for path in (tmp_path / "site").glob("*.html")} >= pages
    assert 'class="math' in (tmp_path / "site/science.html").read_text()
