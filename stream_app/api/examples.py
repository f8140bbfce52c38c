"""An example of each answer, by the name of its document in `stream_app.api.documents`."""

from __future__ import annotations

from typing import Any, Final

SEGMENT: Final[dict[str, Any]] = {
    "segmentation": "value",
    "segment": {"id": "s2", "name": "Loyal"},
    "since": "2026-05-01T12:00:00.000Z",
    "sequence": 4,
    "model_version": 12,
    "as_of": "2026-05-01T12:00:03.000Z",
    "next_move": {"at": "2026-06-07T12:00:00.000Z", "to_segment": {"id": "s5", "name": "At risk"}},
    "change": "moved",
    "direction": "up",
    "from_segment": {"id": "s101", "name": "Regular"},
    "cause": {"kind": "purchase", "event_id": "order-981", "position": None},
    "margin": 0.71,
    "explanation": {
        "kind": "learned",
        "before": {
            "recency_days": 12.2,
            "tenure_days": 240.0,
            "usual_gap_days": 9.5,
            "probability_active": 0.93,
            "orders": 8,
            "order_recency_days": 12.2,
            "order_tenure_days": 201.0,
            "order_interval_days": 19.3,
            "order_value": 61.2,
            "engagement_recency_days": 14.0,
            "engagement_interval_days": 8.8,
        },
        "after": {
            "recency_days": 0.0,
            "tenure_days": 240.0,
            "usual_gap_days": 9.6,
            "probability_active": 0.99,
            "orders": 9,
            "order_recency_days": 0.0,
            "order_tenure_days": 201.0,
            "order_interval_days": 16.9,
            "order_value": 67.9,
            "engagement_recency_days": 14.0,
            "engagement_interval_days": 8.8,
        },
        "decisive": "order_rate",
        "margin": 0.71,
        "statement": "orders at least once in 40 days",
        "sentence": "Purchase of 144.80 EUR: 12 days after the last one, 9 orders in 201 days; Regular → Loyal.",
    },
    "holdout": {"bucket": 57, "held_out": False},
}
RULES_SEGMENT: Final[dict[str, Any]] = SEGMENT | {
    "segmentation": "lifecycle",
    "segment": {"id": "active", "name": "Active"},
    "sequence": 2,
    "model_version": 1,
    "next_move": {"at": "2026-05-31T12:00:00.001Z", "to_segment": {"id": "slipping", "name": "Slipping away"}},
    "change": "returned",
    "direction": None,
    "from_segment": {"id": "slipping", "name": "Slipping away"},
    "margin": None,
    "explanation": {
        "kind": "rules",
        "sentence": (
            "Purchase of 144.80 EUR: 0 days, was 41.2: no longer time since the last order of more than 30 days; "
            "Slipping away → Active."
        ),
        "conditions": [
            {
                "condition": "time since the last order of more than 30 days",
                "before": 41.2,
                "after": 0.0,
                "held": True,
                "holds": False,
            }
        ],
    },
}
CUSTOMER: Final[dict[str, Any]] = {
    "customer_id": "customer-1",
    "segments": [RULES_SEGMENT, SEGMENT],
}

REGULAR: Final = {"id": "s101", "name": "Regular"}
LOYAL: Final = {"id": "s2", "name": "Loyal"}
AT_RISK: Final = {"id": "s5", "name": "At risk"}
FIGURES: Final = {
    "customers": 1204,
    "share": 0.143,
    "revenue": 301245.5,
    "revenue_share": 0.412,
    "recency_days": 9.4,
    "tenure_days": 402.1,
    "orders_per_customer": 7.2,
    "revenue_per_customer": 250.2,
    "average_order_value": 34.8,
}
EVERYBODY: Final = FIGURES | {"customers": 8420, "share": 1.0, "revenue": 731178.0, "revenue_share": 1.0}
MODEL: Final[dict[str, Any]] = {
    "kind": "rules",
    "segmentation": "lifecycle",
    "version": 1,
    "status": "published",
    "as_of": "2026-04-01T00:00:00.000Z",
    "segments": [
        {
            "id": "slipping",
            "name": "Slipping away",
            "level": -1,
            "action": "Write to them.",
            "sentence": "time since the last order of 30 days or more",
        },
        {"id": "active", "name": "Active", "level": 1, "action": None, "sentence": "otherwise"},
    ],
    "retired_segments": [],
    "definition": {"kind": "rules", "name": "lifecycle"},
    "lists": {},
    "together": {"lifecycle": 1},
}
PAST_MOVE: Final = {
    name: SEGMENT[name]
    for name in (
        "segmentation",
        "sequence",
        "from_segment",
        "change",
        "direction",
        "cause",
        "model_version",
        "margin",
        "explanation",
        "holdout",
    )
} | {
    "to_segment": LOYAL,
    "effective_at": "2026-05-01T12:00:00.000Z",
    "decided_at": "2026-05-01T12:00:03.000Z",
    "merged_into": None,
    "revenue_before": 322.8,
}
CURSOR: Final = "WzE3Nzc2MzY4MDAwMDAsInZhbHVlLzQiXQ=="
FLOWS: Final = [{"from_segment": REGULAR, "to_segment": LOYAL, "cause": "purchase", "migrations": 41}]

EXAMPLES: Final[dict[str, Any]] = {
    "CustomerDocument": CUSTOMER,
    "BatchRequest": {"customer_ids": ["customer-1", "nobody"]},
    "BatchDocument": {"customers": [CUSTOMER], "unknown": ["nobody"]},
    "HistoryDocument": {"customer_id": "customer-1", "migrations": [PAST_MOVE], "next_cursor": CURSOR},
    "MembersDocument": {
        "customers": 1204,
        "members": [{"customer_id": "customer-1", "since": "2026-05-01T12:00:00.000Z"}],
        "next_cursor": CURSOR,
    },
    "SegmentationsDocument": {
        "segmentations": [
            {
                "segmentation": "value",
                "kind": "learned",
                "model_version": 12,
                "segments": 7,
                "customers": 8420,
                "revenue": 731178.0,
                "currency": "EUR",
                "figures_as_of": "2026-05-01T12:00:00.000Z",
            }
        ]
    },
    "SegmentListDocument": {
        "segmentation": "value",
        "model_version": 12,
        "model_as_of": "2026-04-27T00:00:00.000Z",
        "figures_as_of": "2026-05-01T12:00:00.000Z",
        "currency": "EUR",
        "all_segments": EVERYBODY,
        "segments": [
            {
                "id": "s2",
                "name": "Loyal",
                "is_retired": False,
                "level": 2,
                "statement": "orders at least once in 40 days",
                "action": "Thank them; offer a loyalty programme.",
                "open": True,
                "sentence": None,
                "action_edit": None,
                "figures": FIGURES,
            }
        ],
    },
    "FlowsDocument": {
        "segmentation": "value",
        "first_day": "2026-04-02",
        "last_day": "2026-05-01",
        "flows": FLOWS,
    },
    "DailyFlowsDocument": {
        "segmentation": "value",
        "first_day": "2026-04-02",
        "last_day": "2026-05-01",
        "days": [{"day": "2026-05-01", "flows": FLOWS}],
    },
    "SizesDocument": {
        "segmentation": "value",
        "first_day": "2026-04-30",
        "last_day": "2026-05-01",
        "known_from": "2025-11-01",
        "days": ["2026-04-30", "2026-05-01"],
        "segments": [{"segment": LOYAL, "customers": [1180, 1204]}],
    },
    "ModelsDocument": {
        "segmentation": "value",
        "models": [
            {
                "kind": "learned",
                "version": 12,
                "status": "published",
                "as_of": "2026-04-27T00:00:00.000Z",
                "segments": 7,
                "expected_churn": 0.004,
            }
        ],
    },
    "ActionRequest": {"action": "Call them before Friday."},
    "SegmentActionDocument": {
        "segmentation": "value",
        "segment": LOYAL,
        "action": "Call them before Friday.",
        "action_edit": {
            "edited_by": "marta",
            "edited_at": "2026-05-01T12:00:00.000Z",
            "default": "Thank them; offer a loyalty programme.",
        },
    },
    "SegmentModel": MODEL,
    "UpcomingDocument": {
        "after": "2026-05-01T12:00:00.000Z",
        "until": "2026-05-08T12:00:00.000Z",
        "moves": [
            {
                "segmentation": "value",
                "segment": LOYAL,
                "to_segment": AT_RISK,
                "customers": 57,
                "revenue": 14261.4,
                "currency": "EUR",
            }
        ],
    },
    "LeaversDocument": {
        "customers": 57,
        "after": "2026-05-01T12:00:00.000Z",
        "until": "2026-05-08T12:00:00.000Z",
        "leavers": [{"customer_id": "customer-1", "at": "2026-05-07T09:30:00.000Z", "to_segment": AT_RISK}],
        "next_cursor": None,
    },
    "StreamTokenDocument": {
        "token": "segmenter_stream_Zm9yIGFuIGV4YW1wbGUgb25seQ==",
        "expires_at": "2026-05-01T12:01:00.000Z",
    },
}
MEMBERS_AS_CSV: Final = "customer_id,since\r\ncustomer-1,2026-05-01T12:00:00.000Z\r\n"
MEMBERS_AS_LINES: Final = '{"customer_id":"customer-1","since":"2026-05-01T12:00:00.000Z"}\n'
EVENT: Final = (
    "id: 1777636803120-0\nevent: migration\n"
    'data: {"migration_id":"6b1c…","sequence":4,"customer_id":"customer-1","segmentation":"value",…}\n\n'
)
