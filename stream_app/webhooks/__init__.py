"""`segmenter webhooks`: migrations as signed HTTP requests, each subscription on its own.

Read `subscriber` first: what is taken from Kafka, what is on its way, and what is committed stands there.
"""
