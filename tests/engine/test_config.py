"""Settings: file, environment, flags, in that order; mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfheal_engine.config import Settings, describe, load_settings
from selfheal_engine.errors import ConfigError
from tests.benchmarks.settings_table import README, with_table


def write(folder: Path, text: str) -> Path:
    file = folder / "config.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_flags_win_over_the_environment_and_the_environment_over_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, 'approve = "low"\ninterval_s = 2\ntheme = "nord"\n')
    environ = {"SELFHEAL_INTERVAL_S": "3", "SELFHEAL_APPROVE": "medium"}
    settings, sources = load_settings(file, environ, {"approve": "high"})
    assert (settings.approve, settings.interval_s, settings.theme) == ("high", 3.0, "nord")
    assert sources == {
        "approve": "command line",
        "interval_s": "$SELFHEAL_INTERVAL_S",
        "theme": str(file),
    }


def test_the_config_folder_of_the_user_is_read_without_being_named(tmp_path: Path) -> None:
    folder = tmp_path / "selfheal-tui"
    folder.mkdir()
    write(folder, "bell = false\n")
    settings, _ = load_settings(environ={"XDG_CONFIG_HOME": str(tmp_path)})
    assert settings.bell is False


def test_without_any_source_the_defaults_hold(tmp_path: Path) -> None:
    settings, sources = load_settings(environ={"XDG_CONFIG_HOME": str(tmp_path)})
    assert settings == Settings()
    assert sources == {}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("aprove = 'low'", "unknown setting 'aprove'"),
        ("approve = 'lots'", "expected one of never, low, medium, high"),
        ("interval_s = 'often'", "expected a number"),
        ("interval_s = -1", "not negative"),
        ("bell = 'maybe'", "expected true or false"),
        ("notify = 5", "expected a list"),
        ("theme = 5", "expected a text"),
        ("theme = \n", "line 1"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_key_or_line(
    tmp_path: Path, text: str, named: str
) -> None:
    file = write(tmp_path, text)
    with pytest.raises(ConfigError, match=named) as caught:
        load_settings(file, {})
    assert str(file) in str(caught.value)


def test_a_mistake_is_found_by_its_line_and_the_key_in_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="line 3: bell = 'maybe'"):
        load_settings(write(tmp_path, "# mine\ninterval_s = 5\nbell = 'maybe'\n"), {})
    with pytest.raises(ConfigError, match=r"at line 2, column 9.*`theme ="):
        load_settings(write(tmp_path, "bell = true\ntheme = \n"), {})


def test_a_near_name_is_offered_for_an_unknown_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean interval_s"):
        load_settings(write(tmp_path, "interval = 5"), {})


def test_a_config_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no config file"):
        load_settings(tmp_path / "none.toml", {})


def test_every_setting_has_its_line_of_help() -> None:
    rows = describe(Settings())
    assert all(text and len(text) < 100 for _, _, text in rows)


def test_the_readme_lists_every_setting_as_it_is() -> None:
    readme = README.read_text(encoding="utf-8")
    assert with_table(readme) == readme, "run python -m tests.benchmarks.settings_table"
