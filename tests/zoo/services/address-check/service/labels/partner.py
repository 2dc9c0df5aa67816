"""The partner who knows which post codes exist."""

import http.client
import json
import os


class PartnerDown(Exception):
    """No usable answer; labels are printed unchecked then."""


class Partner:
    def __init__(self, address=None):
        self.address = address or os.environ.get("LABELS_PARTNER", "127.0.0.1:9000")

    def look_up(self, code):
        """The partner's record of a post code. Raises PartnerDown."""
        connection = http.client.HTTPConnection(self.address)
        try:
            connection.request("GET", f"/codes/{code}")
            reply = connection.getresponse()
            if reply.status != 200:
                raise PartnerDown(f"status {reply.status}")
            return json.loads(reply.read())
        except (OSError, http.client.HTTPException, ValueError) as why:
            raise PartnerDown(str(why)) from why
        finally:
            connection.close()
