"""The view of all memberships in Redis: `segmenter view` follows the output topics and keeps it."""
