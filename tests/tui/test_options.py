"""The options that all commands share reach the settings, every one of them."""

from __future__ import annotations

from dataclasses import fields

import click
import pytest

from selfheal_engine.config import Settings
from selfheal_tui.options import SHARED, common_options, option_flags


def test_every_shared_option_is_taken_out_of_the_command_s_own():
    command = click.command()(option_flags(lambda **given: None))
    assert {parameter.name for parameter in command.params} == set(SHARED)


def test_every_shared_option_but_the_config_file_is_a_setting():
    assert set(SHARED) - {"config"} <= {field.name for field in fields(Settings)}


@pytest.mark.parametrize("name", ["--queue-dir", "--project", "--events"])
def test_an_option_arrives_in_the_settings(name, tmp_path):
    got = []

    @click.command()
    @common_options
    def command(settings: Settings) -> None:
        got.append(settings)

    command.main([name, str(tmp_path)], standalone_mode=False)
    assert str(tmp_path) in {str(getattr(got[0], field.name)) for field in fields(Settings)}
