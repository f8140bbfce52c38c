#!/usr/bin/env python3
"""Exit with 0 if an address answers with 200, else with 1: the image has no curl, and `segmenter` takes a second."""

import http.client
import sys
import urllib.error
import urllib.request

TIMEOUT_SECONDS = 2

try:
    with urllib.request.urlopen(sys.argv[1], timeout=TIMEOUT_SECONDS) as answer:
        sys.exit(answer.status != 200)
except urllib.error.HTTPError as error:
    print(f"{error.code}: {error.read(1000).decode('utf-8', 'replace')}")
except (OSError, http.client.HTTPException) as error:
    print(error)
sys.exit(1)
