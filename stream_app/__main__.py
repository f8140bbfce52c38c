"""`python -m stream_app`: the same as the `segmenter` command."""

from stream_app.cli import main

if __name__ == "__main__":
    main()
