"""`segmenter webhooks`: migrations as signed HTTP requests, each subscription on its own.

Read `subscriber` first: it explains reading, delivery and commits.
"""
