from invoices.app import load_export


def test_the_plug_in_can_be_imported():
    load_export("text")
