#!/bin/sh
# Makes the environment of a role in /opt/segmenter: `install.sh locked ROLE`, then `install.sh package`.
set -eu
environment=${ENVIRONMENT:-/opt/segmenter}
wheels=${WHEELS:-/wheels}
pip() { "$environment/bin/python" -m pip --disable-pip-version-check "$@"; }
case $1 in
locked) # exactly what the lock lists, by its hashes: nothing is resolved and nothing is built
    pip install --quiet --no-deps --require-hashes --only-binary=:all: -r "$2.txt"
    ;;
package)
    pip install --quiet --no-deps --no-index --find-links "$wheels" stream-segmenter
    "$environment/bin/python" -c "from stream_app.native.library import library; library()"
    pip check
    pip uninstall --yes --quiet pip
    ;;
*)
    echo "usage: $0 locked ROLE | package" >&2
    exit 2
    ;;
esac
