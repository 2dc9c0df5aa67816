class RatesError(Exception):
    """Told to the client as JSON with `status`."""

    status = 500

    def __init__(self, message):
        super().__init__(message)
        self.message = message


class UnknownPair(RatesError):
    status = 404


class UpstreamUnavailable(RatesError):
    """The upstream gave no usable answer; the client may try again."""

    status = 502
