"""The page about the command line says what the commands say."""

from pathlib import Path

from khayal.cli.reference import reference


def test_the_page_is_up_to_date():
    page = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
    assert page.read_text() == reference(), "run: python -m khayal.cli.reference > docs/reference/cli.md"
