/* The compiled hot path of the segmenter: what Python hands over and what the parts of the library know of each other.
 *
 * A plain C11 library without Python.h, called by ctypes on whole batches. Its parts, each with its theory on its first
 * page:
 *
 *     mathematics    the few functions of libm that results depend on, the same bits on every processor and libc
 *     scan           bytes → events; accepts only the common form, leaves the rest to the readers in Python
 *     lines          where lines of text lie, and copies of them with their numbers
 *     ordering       whether lines are in order of time, and which of one instant comes first
 *     batches        Kafka's record batches, in and out
 *     placement      customer → partition
 *     rows           the table of customers: ids, what their events are known again by, orders and days; its encoding
 *     fold           an event into a customer's row
 *     quantities     what is known of a customer at an instant
 *     learned        the kind that is learned: who moves, and when
 *     program        all segmentations by rules together: where a customer belongs, and until when
 *     ledger         what rules remember of a customer's events
 *     segmentation   a version of a segmentation, whatever its kind
 *     step           a chunk of events, and time, through the table: who moves
 *     outputs        moves → migrations and memberships as JSON
 *
 * Rules of the house. Memory that Python sees is allocated by Python and handed over with its length; what the library
 * allocates for itself hangs on a handle (`seg_table`, `seg_segmentation`, `seg_scanner`). A function that can fail
 * returns a negative seg_status and has changed nothing that anybody could notice. Nothing is global or static but
 * constants: a handle may be used by one thread at a time, and different handles by different threads at once.
 * Numbers are little-endian, as in rows; instants are milliseconds since the epoch.
 */
#ifndef SEGMENTER_H
#define SEGMENTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEG_ABI 1
#define SEG_API __attribute__((visibility("default")))

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "rows are little-endian: a big-endian machine would need conversions that nobody has written"
#endif

typedef enum seg_status {
  SEG_OK = 0,
  SEG_NO_MEMORY = -1,
  SEG_NO_ROOM = -2,    /* an output is smaller than what was to be written */
  SEG_DAMAGED = -3,    /* a row or batch is not as long as it says */
  SEG_UNKNOWN = -4,    /* of a later version, or of a kind that this library does not know */
  SEG_OUT_OF_RANGE = -5 /* an argument is; a defect of the caller */
} seg_status;

#define SEG_NO_TIME (-(INT64_C(1) << 62))
#define SEG_NEVER (INT64_C(1) << 62)
#define SEG_SECOND_MS INT64_C(1000)
#define SEG_DAY_MS INT64_C(86400000)

/* --- records that Python and C share; stream_app/native/structures.py names each field once, sizes are compared at
 * load. Padding is named. --- */

/* Causes; the first three and those from SEG_PROFILE on are kinds of events, too. A profile says what a customer is, a
 * merge that two are one, a consent what the customer has agreed to, and an erasure that it is to be forgotten; none of
 * these is an act. */
enum {
  SEG_PURCHASE,
  SEG_REFUND,
  SEG_ENGAGEMENT,
  SEG_LAPSE,
  SEG_MODEL,
  SEG_DEFINITION,
  SEG_PROFILE,
  SEG_MERGE,
  SEG_CONSENT,
  SEG_ERASURE
};
enum { SEG_ENTERED, SEG_MOVED, SEG_LAPSED, SEG_RETURNED, SEG_LEFT };                     /* changes */
enum { SEG_EVENT, SEG_DOUBTED, SEG_SKIPPED, SEG_REJECTED };                              /* what a record is */

/* What a refund says in place of an amount. */
#define SEG_ALL_LEFT (-1) /* it returns whatever is left of its order */
#define SEG_CANCELS (-2)  /* it is none: the order is cancelled */

/* One record of an input. Its texts stand one after the other in a buffer of the batch: customer id, event id, type, and
 * the fields that were kept of it (see "kept fields"). */
typedef struct seg_event {
  int64_t at_ms;
  int64_t amount_minor;    /* purchases and refunds: minor units of the base currency, >= 0; or SEG_ALL_LEFT, ... */
  int64_t stated_at_ms;    /* purchases: as of when it says what the order is; at_ms, if the record does not say */
  uint64_t event_digest;   /* XXH3 of the event's id */
  uint64_t order_digest;   /* likewise of the order's; 0 for engagements */
  uint64_t customer_hash;  /* likewise of the customer's */
  int64_t offset;          /* its place in its source: a line's number, a record's offset */
  uint32_t text_at;        /* where its texts begin; of a record that is no event, its number among those */
  uint16_t customer_size;  /* bytes */
  uint16_t event_id_size;
  uint16_t type_size;
  uint8_t kind;            /* SEG_PURCHASE, SEG_REFUND, SEG_ENGAGEMENT or SEG_PROFILE ... SEG_ERASURE, see barring.c */
  uint8_t status;          /* SEG_EVENT, SEG_DOUBTED, SEG_SKIPPED or SEG_REJECTED */
  uint16_t source;         /* number of its file or topic */
  uint16_t kept_size;
} seg_event;

/* The numbers of a row, see stream_app/core/row.py; also their encoding. */
typedef struct seg_activity {
  int64_t first_at_ms, first_purchased_at_ms, purchased_at_ms, ordered_at_ms, engaged_at_ms;
  int64_t revenue_minor;
  double orders_decayed, revenue_decayed, log_order_values, engaged_days, log_gaps, log_gaps_squared;
  int32_t gaps, purchases, refunds, engagements;
} seg_activity;

/* A customer's place in one segmentation, see stream_app/core/row.py; also its encoding. */
typedef struct seg_membership {
  int64_t since_ms, assessed_at_ms;
  int32_t sequence, model_version;
  int16_t segment, previous, change, kept;
} seg_membership;

/* A move that was found. */
typedef struct seg_move {
  int64_t row;             /* the customer's number */
  int64_t position;        /* its place in the stream of events and sweeps, -1 before both */
  int64_t event;           /* index of the event that caused it, -1 for none */
  int64_t effective_at_ms; /* when it became true */
  int64_t decided_at_ms;   /* when it was found */
  int64_t before_ms;       /* the instant that `before` is compared at */
  int64_t next_at_ms;      /* when silence moves the customer next, SEG_NEVER for never */
  int32_t segmentation;    /* index among all */
  int32_t cause;           /* SEG_PURCHASE ... SEG_ERASURE */
  int32_t change;          /* SEG_ENTERED ... SEG_LEFT */
  int32_t sequence;        /* from 1 */
  int32_t from_code;       /* 0 for none */
  int32_t target;          /* index of the roster, -1 for nowhere */
  int32_t next_target;     /* likewise, of the move at next_at_ms */
  int32_t is_own;          /* whether the state after an event was assessed */
  int64_t facts_at;        /* rules: where in the step's facts those of the move begin */
  int32_t fact_count;
  uint16_t consents;       /* what the customer agrees to: of purpose p, bit 2p for whether it is told, 2p + 1 for whether it does */
  int16_t is_barred;       /* whether the customer leaves because it is not to be known any more, see barring.c */
  seg_activity before, after;
} seg_move;

_Static_assert(sizeof(seg_event) == 72, "seg_event");
_Static_assert(sizeof(seg_activity) == 112, "seg_activity");
_Static_assert(sizeof(seg_membership) == 32, "seg_membership");
_Static_assert(sizeof(seg_move) == 104 + 2 * 112, "seg_move");

SEG_API int32_t seg_abi(void);
/* Size of a structure that Python knows, by its name; 0 for another one. */
SEG_API int64_t seg_size_of(const char *structure);

/* --- scan: bytes -> events, see scan.c --- */

/* How the value of a field is read; each is at least as strict as the type of its name in contracts/fields.py. */
enum {
  SEG_READS_TEXT,     /* 1 to `most` characters, none of them a control character; an id in its normal form */
  SEG_READS_TIME,     /* RFC 3339 with a zone */
  SEG_READS_WORD,     /* one of the contract's words, which is the event's type and says its kind */
  SEG_READS_TYPE,     /* a text of at most `most` characters; the event's type */
  SEG_READS_CURRENCY, /* one of the currencies */
  SEG_READS_AMOUNT,   /* digits with at most one point between them, as text or number; float noise is rounded off */
  SEG_READS_COUNT,    /* 0 to `most` */
  SEG_READS_NUMBER,   /* a number with at most `most` digits before the point */
  SEG_READS_TEXTS,    /* a list of at most `most` texts, of at most SEG_LISTED_TEXT characters each */
  SEG_READS_OBJECT,   /* an object of whatever there may be */
  SEG_READS_TRAITS,   /* an object of listed traits, at most `most` bytes as they are kept */
  SEG_READERS         /* how many readers there are */
};
enum { SEG_TEXT_OTHER, SEG_TEXT_EVENT_ID, SEG_TEXT_CUSTOMER_ID, SEG_TEXT_ORDER_ID }; /* what a text is to the event */
#define SEG_TIME_STATED 4 /* what a time is to it, unless it is when it happened: as of when it says what an order is */

#define SEG_LISTED_TEXT 256
#define SEG_FIELDS_MAX 32
#define SEG_WORDS_MAX 16
#define SEG_CURRENCIES_MAX 256
#define SEG_PATHS_MAX 64
#define SEG_PLACEHOLDERS_MAX 256

typedef struct seg_field {
  uint8_t name[48]; /* ASCII without quote and backslash */
  int64_t most;
  int32_t name_size;
  int32_t reads;    /* SEG_READS_... */
  int32_t meaning;  /* SEG_TEXT_... of a text, SEG_TIME_... of a time */
  int32_t required; /* neither absent nor null */
} seg_field;

typedef struct seg_word {
  uint8_t text[56];
  int32_t size;
  int32_t kind; /* of events, or SEG_CANCELLATION: a refund that says SEG_CANCELS */
} seg_word;
#define SEG_CANCELLATION 32

typedef struct seg_currency {
  int64_t limit_minor;            /* largest amount, >= 0 */
  int64_t numerator, denominator; /* minor units of the base currency that a minor unit is worth; > 0 */
  uint8_t code[4];                /* three letters */
  int32_t minor_digits;           /* 0 to 6 */
} seg_currency;

/* A field that is kept of records, see "kept fields": a contract's field by its name, or what stands in a free object
 * behind it, key after key, each with a dot before it. */
typedef struct seg_kept_path {
  uint8_t text[256];
  int32_t size;  /* at most 255 */
  int32_t field; /* number of the contract's field; neither a time nor an amount */
} seg_kept_path;

/* A trait that is listed and allowed. */
typedef struct seg_listed_trait {
  uint8_t name[64];
  int32_t size;
  int32_t kinds; /* bit of each SEG_FIELD_... that it may be, beside null; SEG_TRAIT_DATE of texts that must be dates */
} seg_listed_trait;
#define SEG_TRAIT_DATE (1 << 8)
#define SEG_TRAITS_LISTED_MAX 16384

/* What else a scanner has to know. */
typedef struct seg_scan_policy {
  int64_t max_payload_bytes, earliest_ms, tolerance_ms;
  int64_t max_depth;   /* >= 2, the record itself being 1 */
  int32_t kind;        /* of an event without a word */
  int32_t absent_word; /* number of the word that is meant where no type is given, -1 for none */
} seg_scan_policy;

_Static_assert(sizeof(seg_field) == 72, "seg_field");
_Static_assert(sizeof(seg_word) == 64, "seg_word");
_Static_assert(sizeof(seg_currency) == 32, "seg_currency");
_Static_assert(sizeof(seg_scan_policy) == 40, "seg_scan_policy");
_Static_assert(sizeof(seg_kept_path) == 264, "seg_kept_path");
_Static_assert(sizeof(seg_listed_trait) == 72, "seg_listed_trait");

typedef struct seg_scanner seg_scanner;

/* A scanner of one topic's records; `placeholders` are what customers' ids may not be, in small letters. NULL if there is
 * no memory or an argument is out of its range. Never changed afterwards, so that any number of threads may use it at
 * once. */
SEG_API seg_scanner *seg_scanner_new(const seg_field *fields, int64_t field_count, const seg_word *words,
                                     int64_t word_count, const seg_currency *currencies, int64_t currency_count,
                                     const seg_kept_path *paths, int64_t path_count, const seg_listed_trait *traits,
                                     int64_t trait_count, const seg_word *placeholders, int64_t placeholder_count,
                                     const seg_scan_policy *policy);
SEG_API void seg_scanner_free(seg_scanner *scanner);

/* Reads n records. `value_size` is -1 for a tombstone. `key_at` is NULL where the carrier has no keys; a record without
 * one has `key_size` -1. Each record of `out` becomes SEG_EVENT, SEG_SKIPPED or SEG_DOUBTED; `offset` and `source` are
 * left 0. `texts_size` says how much of `texts` was written. SEG_OK, SEG_OUT_OF_RANGE if a record does not lie in the
 * buffer, or SEG_NO_ROOM. */
SEG_API int32_t seg_scan(const seg_scanner *scanner, const uint8_t *buffer, int64_t size, int64_t n,
                         const int64_t *value_at, const int64_t *value_size, const int64_t *key_at,
                         const int64_t *key_size, int64_t now_ms, seg_event *out, uint8_t *texts, int64_t capacity,
                         int64_t *texts_size);

/* --- lines, see lines.c --- */

/* Finds the lines of a block, without their ends; what follows the last end is none. Their number, or SEG_NO_ROOM. */
SEG_API int64_t seg_split_lines(const uint8_t *buffer, int64_t size, int64_t *line_at, int64_t *line_size,
                                int64_t capacity);

/* Copies the lines of a block that are not blank, each with its number, from `first` on, and `mark` before it. The size
 * of that; SEG_NO_ROOM, but never where there are 20 bytes a line beside the block's own; SEG_OUT_OF_RANGE if a line has
 * more than `longest` bytes or an odd number of `quote`, which is 0 if that does not matter, or if numbers end. */
SEG_API int64_t seg_number_lines(const uint8_t *buffer, int64_t size, int64_t first, uint8_t mark, uint8_t quote,
                                 int64_t longest, uint8_t *out, int64_t capacity);

/* --- the order of lines, see ordering.c --- */

enum { SEG_LINES_FALLING = 1, SEG_LINES_UNCOMMON = 2 };

/* Whether the whole lines of a block are in order of time: SEG_OK if each has `mark` once, 24 bytes that end with `Z`
 * behind it, and none of these are less than those before; SEG_LINES_FALLING if some are; SEG_LINES_UNCOMMON if not all
 * are of that form. `edges` has where the first and the last of them begin; -1 if there is none. `mark_size` > 0. */
SEG_API int32_t seg_lines_in_order(const uint8_t *buffer, int64_t size, const uint8_t *mark, int64_t mark_size,
                                   int64_t *edges);

/* Puts records of one instant, which follow one another, in the order of their lines' bytes, equal ones as they come;
 * offsets stay where they are, and so does what has no time. SEG_OK, SEG_NO_MEMORY, or SEG_OUT_OF_RANGE if a line does
 * not lie in the buffer. */
SEG_API int32_t seg_order_instants(seg_event *records, int64_t n, const uint8_t *buffer, int64_t size,
                                   const int64_t *line_at, const int64_t *line_size);

/* --- mathematics: the same bits everywhere; results of these are what rows and moves are made of --- */

double seg_exp(double x);
double seg_exp2(double x);
double seg_log(double x);
double seg_log2(double x);
double seg_log1p(double x);
double seg_expm1(double x);
double seg_pow(double x, double y);
/* Applies one of them, by its place in the list above, to n numbers (y: seg_pow alone); for references in tests. */
SEG_API int32_t seg_map(int32_t function, int64_t n, const double *x, const double *y, double *out);

/* --- quantities: what is known of a customer at an instant, see stream_app/core/quantities.py --- */

#define SEG_ORDER_HALF_LIFE_DAYS 60.0
#define SEG_ENGAGEMENT_HALF_LIFE_DAYS 30.0
#define SEG_ACTIVITY_WINDOW_DAYS 366
#define SEG_ENGAGED_WINDOW_DAYS 182
#define SEG_GAP_MEMORY 0.95

typedef struct seg_quantities {
  double recency_days, tenure_days, orders, repeat_orders, revenue_minor, engaged_days;
  double gaps, log_gaps, log_gaps_squared, purchases, log_order_values;
} seg_quantities;

seg_quantities seg_quantities_at(const seg_activity *activity, int64_t at_ms);
int64_t seg_last_act_ms(const seg_activity *activity);
int64_t seg_last_event_ms(const seg_activity *activity);
double seg_repeat_orders(const seg_activity *activity);
/* The parts of them, for who needs a few. */
double seg_recency_days(const seg_activity *activity, int64_t at_ms);
double seg_tenure_days(const seg_activity *activity, int64_t at_ms);
double seg_order_decay(const seg_activity *activity, int64_t at_ms);      /* of orders and revenue since the last one */
double seg_engagement_decay(const seg_activity *activity, int64_t at_ms); /* likewise of engaged days */

/* Those of n customers, each at an instant of its own. */
SEG_API void seg_ask_quantities(int64_t n, const seg_activity *activity, const int64_t *at_ms, seg_quantities *out);

/* Sums that stay at the end of their range instead of leaving it: only nonsense gets there. */
static inline int64_t seg_add64(int64_t a, int64_t b) {
  int64_t sum;
  return __builtin_add_overflow(a, b, &sum) ? (a < 0 ? INT64_MIN : INT64_MAX) : sum;
}
static inline int64_t seg_subtract64(int64_t a, int64_t b) {
  int64_t difference;
  return __builtin_sub_overflow(a, b, &difference) ? (a < 0 ? INT64_MIN : INT64_MAX) : difference;
}
static inline int32_t seg_add32(int32_t a, int32_t b) {
  int32_t sum;
  return __builtin_add_overflow(a, b, &sum) ? (a < 0 ? INT32_MIN : INT32_MAX) : sum;
}
/* As numpy has them: what is not a number stays so. */
static inline double seg_max(double one, double other) {
  if (one != one) return one;
  return one > other ? one : other;
}
static inline double seg_min(double one, double other) {
  if (one != one) return one;
  return one < other ? one : other;
}
/* Differences of instants wrap, as numpy's do: a damaged row may say anything. */
static inline int64_t seg_passed_ms(int64_t now_ms, int64_t then_ms) {
  return (int64_t)((uint64_t)now_ms - (uint64_t)then_ms);
}
static inline int64_t seg_later_ms(int64_t at_ms, int64_t passed_ms) {
  return (int64_t)((uint64_t)at_ms + (uint64_t)passed_ms);
}
/* An instant towards zero; INT64_MIN for what is none, as processors of x86 have it. */
static inline int64_t seg_whole_ms(double at_ms) {
  return at_ms >= -0x1p63 && at_ms < 0x1p63 ? (int64_t)at_ms : INT64_MIN;
}

/* --- segmentations: a version of one, whatever its kind --- */

typedef struct seg_segmentation seg_segmentation;

enum { SEG_KIND_LEARNED, SEG_KIND_RULES, SEG_KIND_ENDED, SEG_KIND_FOREIGN };
#define SEG_TARGETS_MAX 128
#define SEG_CODE_MAX 32767
#define SEG_NO_LEVEL INT16_MIN
#define SEG_NOWHERE (-1)

/* Where a customer is in a segmentation: what questions look at of its membership. */
typedef struct seg_held {
  int64_t since_ms;
  int16_t segment, previous, kept;
  int16_t reserved;
} seg_held;

typedef struct seg_decision {
  int32_t target; /* index of the roster, SEG_NOWHERE for a customer that leaves */
  int32_t moves;
} seg_decision;

typedef struct seg_due {
  int64_t at_ms; /* exact up to the instant asked about; beyond it, one before which nobody moves; SEG_NEVER */
  int32_t target;
  int32_t reserved;
} seg_due;

/* The three questions of stream_app/core/segmentation.py about one customer. */
seg_decision seg_acts(const seg_segmentation *s, const seg_activity *activity, int64_t at_ms, const seg_held *held);
seg_due seg_silence(const seg_segmentation *s, const seg_activity *activity, const seg_held *held, int64_t after_ms,
                    int64_t by_ms);
seg_decision seg_revise(const seg_segmentation *s, const seg_activity *activity, int64_t at_ms, const seg_held *held);

/* A kind that the library does not know: whoever made it answers, in the memory that is handed over. Slow, as each
 * question leaves the library, and meant for kinds that are being tried out. */
typedef struct seg_foreign {
  void (*acts)(const seg_activity *activity, int64_t at_ms, const seg_held *held, seg_decision *out);
  void (*silence)(const seg_activity *activity, const seg_held *held, int64_t after_ms, int64_t by_ms, seg_due *out);
  void (*revise)(const seg_activity *activity, int64_t at_ms, const seg_held *held, seg_decision *out);
} seg_foreign;

/* What is common to all kinds. */
struct seg_segmentation {
  int32_t kind, version;
  int32_t revised_by;      /* SEG_MODEL or SEG_DEFINITION */
  int32_t weighs_sessions; /* whether customers are assessed at events that only continue a session, too */
  int32_t has_levels;
  int32_t target_count;
  int16_t codes[SEG_TARGETS_MAX + 1];          /* by target; 0 behind the last, for SEG_NOWHERE */
  int16_t target_of_code[SEG_CODE_MAX + 1];    /* SEG_NOWHERE where this version has no such segment */
  int16_t level_of_code[SEG_CODE_MAX + 1];     /* SEG_NO_LEVEL where it has none */
  void *own;                                   /* what the kind knows */
  seg_foreign foreign;                         /* of SEG_KIND_FOREIGN */
};

static inline int16_t seg_code_of(const seg_segmentation *s, int32_t target) {
  return s->codes[target < 0 ? s->target_count : target];
}
/* Codes come from rows, which may hold anything: negative ones are nobody's. */
static inline int32_t seg_target_of(const seg_segmentation *s, int16_t code) {
  return code < 0 ? SEG_NOWHERE : s->target_of_code[code];
}
/* The level of a segment, 0 where it has none. */
static inline int32_t seg_level_of(const seg_segmentation *s, int16_t code) {
  return code < 0 || s->level_of_code[code] == SEG_NO_LEVEL ? 0 : s->level_of_code[code];
}
static inline bool seg_is_lapsed(const seg_segmentation *s, int16_t code) { return seg_level_of(s, code) < 0; }

/* A version. `codes` of its targets; `known_codes` and `levels` of every segment that a customer may be in, retired ones
 * included; `own` what its kind knows (seg_learned; of rules nothing, see program.c), which is copied. NULL if there is no memory or
 * an argument is out of its range. */
SEG_API seg_segmentation *seg_segmentation_new(int32_t kind, int32_t version, int32_t revised_by,
                                               int32_t weighs_sessions, const int16_t *codes, int64_t code_count,
                                               const int16_t *known_codes, const int16_t *levels, int64_t known_count,
                                               const void *own, int64_t own_size);
SEG_API void seg_segmentation_free(seg_segmentation *s);

/* The questions about n customers. */
SEG_API void seg_ask_acts(const seg_segmentation *s, int64_t n, const seg_activity *activity, const int64_t *at_ms,
                          const seg_held *held, seg_decision *out);
SEG_API void seg_ask_silence(const seg_segmentation *s, int64_t n, const seg_activity *activity, const seg_held *held,
                             const int64_t *after_ms, const int64_t *by_ms, seg_due *out);
SEG_API void seg_ask_revise(const seg_segmentation *s, int64_t n, const seg_activity *activity, const int64_t *at_ms,
                            const seg_held *held, seg_decision *out);

/* --- the learned kind, see stream_app/segmentations/learned --- */

#define SEG_ROLES 7

/* How a population comes back, see stream_app/segmentations/learned/rhythm.py. */
typedef struct seg_rhythm {
  double log_gap, log_gap_variance, prior_weight, stop_rate_per_day, stop_after_first;
} seg_rhythm;

/* The bounds of what roles' names say, see stream_app/segmentations/learned/statements.py. */
typedef struct seg_statements {
  double orders_min[SEG_ROLES], orders_max[SEG_ROLES], engagement_min[SEG_ROLES], value_min[SEG_ROLES];
} seg_statements;

/* What is configured of silences. */
typedef struct seg_patience {
  double risk_probability, lapsed_probability, one_time_probability;
  double risk_days_min, lapsed_days_min, lost_days;
} seg_patience;

/* A model as the library needs it: what Frame, Statements and Thresholds say, evaluated. */
typedef struct seg_learned {
  seg_rhythm rhythm;
  double log_order_value; /* ln of order_value_minor */
  double new_days;
  double weights[3];
  double centres[SEG_ROLES][3];
  double separation[SEG_ROLES][SEG_ROLES];
  seg_statements statements;
  double hysteresis, no_return_days;
  seg_patience patience;
  int32_t knows_order_value;
  int32_t admits; /* bit of each role that customers can be admitted to */
} seg_learned;

/* A customer's own rhythm. */
typedef struct seg_own_rhythm {
  double log_scale, regularity, shape, stopped;
} seg_own_rhythm;

/* For how long customers of a rhythm are silent before it tells something, days. */
typedef struct seg_silences {
  double risk, one_time, lapsed, lost;
} seg_silences;

_Static_assert(sizeof(seg_learned) == 117 * sizeof(double), "seg_learned");

/* The parts of a learned segmentation, for `seg_segmentation`. NULL if there is no memory or a number is out of range. */
struct seg_learned_model;
struct seg_learned_model *seg_learned_new(const void *form, int64_t size, int32_t target_count);
void seg_learned_free(struct seg_learned_model *model);
seg_decision seg_learned_acts(const seg_segmentation *s, const seg_activity *activity, int64_t at_ms,
                              const seg_held *held);
seg_due seg_learned_silence(const seg_segmentation *s, const seg_activity *activity, const seg_held *held,
                            int64_t after_ms, int64_t by_ms);
seg_decision seg_learned_revise(const seg_segmentation *s, const seg_activity *activity, int64_t at_ms,
                                const seg_held *held);

/* How the population of a model comes back; NULL of another kind. */
const seg_rhythm *seg_learned_rhythm(const seg_segmentation *s);

/* The same formulas for those who learn and explain; see the functions of the same names in Python. Axes and distances
 * stand customer by customer, 3 and SEG_ROLES each. `log_order_value` is without meaning unless it is known. */
SEG_API void seg_ask_axes(int64_t n, const seg_quantities *quantities, int32_t knows_order_value,
                          double log_order_value, double *out);
SEG_API void seg_ask_distances(int64_t n, const double *axes, const double *weights, const double *centres,
                               double *out);
SEG_API void seg_ask_hold(int64_t n, const double *axes, const seg_statements *statements, uint8_t *out);
SEG_API void seg_ask_rhythm(int64_t n, const seg_quantities *quantities, const seg_rhythm *rhythm,
                            seg_own_rhythm *out);
SEG_API void seg_ask_usual_gap(int64_t n, const seg_own_rhythm *own, double *out_days);
SEG_API void seg_ask_survival(int64_t n, const seg_own_rhythm *own, const double *silence_days, double *out);
SEG_API void seg_ask_probability_active(int64_t n, const seg_own_rhythm *own, const double *silence_days, double *out);
SEG_API void seg_ask_silence_days(int64_t n, const seg_own_rhythm *own, double probability, double *out_days);
SEG_API void seg_ask_silences(int64_t n, const seg_own_rhythm *own, const seg_patience *patience, seg_silences *out);
/* Of whom the name of the segment they are in is not true; SEG_OUT_OF_RANGE if the segmentation is of another kind. */
SEG_API int32_t seg_ask_untrue(const seg_segmentation *s, int64_t n, const seg_activity *activity,
                               const int64_t *at_ms, const seg_held *held, uint8_t *out);

/* --- rules: conditions, see stream_app/segmentations/rules --- */

/* Kept fields: what conditions look at of an event, and a profile's traits; one after the other: size of the name u8,
 * SEG_FIELD_… u8, size of the value u16, name, value. Numbers are doubles, texts UTF-8, of lists each text stands behind
 * its size u16. */
enum { SEG_FIELD_NULL, SEG_FIELD_FALSE, SEG_FIELD_TRUE, SEG_FIELD_NUMBER, SEG_FIELD_TEXT, SEG_FIELD_TEXTS };

/* Part of a memory. */
typedef struct seg_bytes {
  const uint8_t *data;
  int64_t size;
} seg_bytes;

/* A customer's place in a segmentation by rules; also its encoding. */
typedef struct seg_place {
  int32_t sequence;
  int16_t segment; /* code, 0 for none */
  int16_t change;  /* SEG_ENTERED ... SEG_LEFT */
} seg_place;
_Static_assert(sizeof(seg_place) == 8, "seg_place");

/* A customer as conditions see it. */
typedef struct seg_subject {
  const seg_activity *activity;
  seg_bytes ledger;                    /* series of its events, see ledger.c */
  seg_bytes traits;                    /* see traits.c */
  seg_bytes id;
  const seg_place *places;             /* in segmentation by rules r: places[r * stride] */
  const int64_t *since_ms;             /* of those whose beginning is kept, k: since_ms[k * stride] */
  const seg_membership *memberships;   /* in segmentation m of another kind: memberships[m * stride] */
  int64_t stride;
  const seg_segmentation *const *segmentations; /* those of other kinds, as the step has them */
} seg_subject;

/* A series of a customer's events, taken out of the table to be changed. */
#define SEG_LEDGER_MAX 61440
typedef struct seg_ledger {
  int64_t size;
  uint8_t data[SEG_LEDGER_MAX];
} seg_ledger;

/* A ledger as a row has it: digests of series in place of the table's numbers, `digests[number]`; how many bytes it is,
 * also without `out`, or a seg_status. */
SEG_API int64_t seg_ledger_to_row(seg_bytes ledger, const uint64_t *digests, int64_t digest_count, uint8_t *out,
                                  int64_t capacity);
/* The number of a digest, a new one if it has none yet; or a seg_status. */
typedef int32_t (*seg_series_number)(void *context, uint64_t digest);
/* And back, from bytes that may say anything; SEG_OK, SEG_DAMAGED, or what `number_of` answered. */
SEG_API int32_t seg_ledger_from_row(seg_bytes row, seg_series_number number_of, void *context, seg_ledger *out);

/* All rules of a partition in one version, compiled together: see program.c. Immutable; `form` is documented there.
 * NULL if there is no memory or the form is none. */
typedef struct seg_program seg_program;
SEG_API seg_program *seg_program_new(const void *form, int64_t size);
SEG_API void seg_program_free(seg_program *program);

/* What a step has to know of a program. */
typedef struct seg_program_shape {
  int32_t segmentations;   /* r: how many it decides */
  int32_t words;           /* of 64 bits for a customer's conditions */
  int32_t since;           /* k: of how many the beginning is kept */
  int32_t reads_activity;  /* whether a figure of the customer is looked at */
  int32_t reads_segments;  /* whether segments of other kinds, or their models, are looked at */
  int32_t series;          /* numbers that it uses are below it */
} seg_program_shape;
SEG_API void seg_program_shape_of(const seg_program *program, seg_program_shape *out);

/* What the events of one instant have touched. */
#define SEG_SERIES_MAX 1024
typedef struct seg_touched {
  uint64_t series[SEG_SERIES_MAX / 64];
  int32_t any;        /* whether a series, a trait or a figure */
  int32_t traits;
  int32_t activity;
  int32_t must_evaluate; /* what was told cannot be compared: late, of a new customer, ... */
} seg_touched;

/* Enters an event, or a profile's traits, into the series that it belongs to; `now_ms` is the instant at which it counts.
 * Of the statements of an order the first one counts as a completed order, and others as updates, whatever they are called.
 * SEG_OK or SEG_NO_ROOM: beyond SEG_LEDGER_MAX the oldest entries have gone. */
SEG_API int32_t seg_program_note(const seg_program *program, const seg_event *event, const uint8_t *texts,
                                 int64_t now_ms, int32_t is_restated, seg_ledger *ledger, seg_touched *touched);
/* Does the same with an event of the past for those series whose numbers are `first_series` or higher. */
int32_t seg_program_refill(const seg_program *program, const seg_event *event, const uint8_t *texts,
                           int32_t first_series, seg_ledger *ledger);
/* Whether memberships may have changed at an instant, given the bits of conditions as they were last evaluated; if not,
 * `due_ms` is brought forward where it has to be. */
SEG_API bool seg_program_may_move(const seg_program *program, const seg_subject *subject, int64_t now_ms,
                                  const seg_touched *touched, const uint64_t *bits, int64_t bits_stride,
                                  int64_t *due_ms);
/* Evaluates everything at an instant: the code of the segment of each segmentation (0 for none), the bits, and the
 * instant before which silence changes none of them. `targets` are indices of each roster, SEG_NOWHERE for none. */
SEG_API void seg_program_evaluate(const seg_program *program, const seg_subject *subject, int64_t now_ms,
                                  int32_t *targets, int16_t *codes, uint64_t *bits, int64_t bits_stride,
                                  int64_t *due_ms);
/* When silence first moves a customer in segmentation r after an instant, and where to; see seg_silence. */
SEG_API seg_due seg_program_silence(const seg_program *program, const seg_subject *subject, int32_t r, int64_t after_ms,
                                    int64_t by_ms);
SEG_API int32_t seg_program_kept_since(const seg_program *program, int32_t r); /* k, or -1 */

/* A condition that is told of a move: with what it was compared, before and after. */
typedef struct seg_fact {
  int32_t condition;     /* number within the segmentation, as its presentation has them */
  int8_t held, holds;    /* 0, 1; `held` is -1 where there was no before */
  int16_t reserved;
  double before, after;  /* what was counted or compared; NaN for what is no number */
} seg_fact;
_Static_assert(sizeof(seg_fact) == 24, "seg_fact");
#define SEG_FACTS_MAX 64
/* The conditions of segmentation r that differ between two states of a customer; `before` may be NULL. Their number. */
SEG_API int32_t seg_program_explain(const seg_program *program, int32_t r, const seg_subject *before,
                                    int64_t before_ms, const seg_subject *after, int64_t after_ms,
                                    seg_fact facts[SEG_FACTS_MAX]);

/* Traits of a customer, see traits.c: of each the value that was observed last. */
#define SEG_TRAIT_LIMIT 128        /* traits a customer has */
#define SEG_TRAIT_VALUE_MAX 4096   /* bytes of a value; a longer one counts as none */
#define SEG_TRAIT_HEADER_BYTES 12
#define SEG_STATEMENT_LIMIT 16     /* of those, statements on consent: traits of reserved names, which are counted apart */
#define SEG_PURPOSES_MAX 8         /* of consent */
#define SEG_STATEMENTS "consent."  /* so their names begin; of equal instants the lesser kind of value stays */
#define SEG_TRAITS_MAX \
  ((SEG_TRAIT_LIMIT + SEG_STATEMENT_LIMIT) * (SEG_TRAIT_HEADER_BYTES + 255 + SEG_TRAIT_VALUE_MAX))
typedef struct seg_traits {
  int64_t size;
  uint8_t data[SEG_TRAITS_MAX];
} seg_traits;
/* Takes over those of `kept` that are observed later than what is there (of equal instants the greater value stays).
 * Whether anything has changed (1, 0), or SEG_OUT_OF_RANGE if `kept` are no fields: then nothing has. */
int32_t seg_traits_take(seg_traits *traits, seg_bytes kept, int64_t observed_ms);
/* Takes over the traits of another customer, each as of when it was observed. */
void seg_traits_merge(seg_traits *traits, seg_bytes from);
/* Whether bytes are traits, as seg_traits_take leaves them. */
bool seg_traits_are_whole(seg_bytes traits);
/* Forgets all but statements on consent. */
void seg_traits_keep_statements(seg_traits *traits);
/* Whether there is a statement on consent. */
bool seg_traits_have_statements(seg_bytes traits);
/* What is known of a trait: its kind, -1 for nothing at all. */
typedef struct seg_trait_seen {
  int64_t observed_ms;
  seg_bytes value;
  int32_t kind;
} seg_trait_seen;
seg_trait_seen seg_traits_seen(seg_bytes traits, const char *name, int32_t name_size);

/* --- rows: the table of customers --- */

typedef struct seg_table seg_table;

/* The columns of a table, allocated by Python; m segmentations, their columns one after the other. */
typedef struct seg_columns {
  seg_activity *activity;       /* [capacity] */
  seg_membership *memberships;  /* [m][capacity] */
  int64_t *due_at_ms;           /* [capacity]: silence moves nobody before it */
  uint8_t *outdated;            /* [m][capacity]: not assessed under the present version yet */
  int64_t *closed_at_ms;        /* [capacity]: up to when the customer's moves have been told; the next is later */
  seg_place *places;            /* [r][capacity]: in segmentations by rules */
  int64_t *since_ms;            /* [k][capacity]: when the present segment was entered, of those that keep it */
  int64_t *rules_due_at_ms;     /* [capacity]: silence changes no rule before it */
  uint64_t *bits;               /* [words][capacity]: conditions as they were last evaluated */
  uint8_t *rules_outdated;      /* [capacity]: rules not evaluated under the present version yet */
  int64_t *member_sums;         /* [m + r][SEG_CODE_MAX + 1][SEG_MEMBER_SUMS], or NULL if nobody has counted them yet */
  int64_t capacity;
  int64_t segmentations;        /* m: those that are not by rules */
  int64_t ruled, since, words;  /* r, k, words */
} seg_columns;

/* From a day on, counted from 1970-01-01, local days begin at day * 86,400 - `behind` seconds. */
typedef struct seg_zone_run {
  int32_t day, behind;
} seg_zone_run;

/* customers, purchases, revenue_minor, first_at_seconds, active_at_seconds, profiles_only */
#define SEG_MEMBER_SUMS 6

SEG_API seg_table *seg_table_new(void);
SEG_API void seg_table_free(seg_table *table);
/* Has an empty table count active and engaged days by a zone's runs, which are copied; by UTC's where nobody says.
 * SEG_OK, SEG_NO_MEMORY, or SEG_OUT_OF_RANGE if there are customers already or the runs are none: then nothing has
 * changed. And the day that an instant is of. */
SEG_API int32_t seg_table_count_days(seg_table *table, const seg_zone_run *runs, int64_t count);
SEG_API int64_t seg_table_day(const seg_table *table, int64_t at_ms);
SEG_API int64_t seg_table_count(const seg_table *table);
/* The row of a customer, -1 if there is none. `hash` is XXH3 of the id. */
SEG_API int64_t seg_table_find(const seg_table *table, const uint8_t *id, size_t size, uint64_t hash);
/* The rows of the customers of n events, -1 of those without; memory is asked for ahead. SEG_OUT_OF_RANGE if a text is
 * not in the buffer. */
SEG_API int32_t seg_table_find_events(const seg_table *table, const seg_event *events, int64_t n, const uint8_t *texts,
                                      int64_t texts_size, int64_t *rows);
/* Asks for the memory of a row that is folded into, or encoded, a few rows later. Any number may be given. */
void seg_table_prefetch(seg_table *table, const seg_columns *columns, int64_t row);
/* The row of a customer, an empty one (columns included) if there was none; or a seg_status: SEG_NO_ROOM where the
 * columns end, SEG_OUT_OF_RANGE of an id of more than 65,535 bytes. New is what is >= the count before the call. */
SEG_API int64_t seg_table_insert(seg_table *table, const seg_columns *columns, const uint8_t *id, size_t size,
                                 uint64_t hash);
/* Forgets a customer; the last row takes the number of the removed, which is returned: -1 if there is none. */
SEG_API int64_t seg_table_remove(seg_table *table, const seg_columns *columns, const uint8_t *id, size_t size,
                                 uint64_t hash);
/* The ids of n rows from a first one on, one after the other; how many bytes they are. `out` may be NULL. */
SEG_API int64_t seg_table_ids(const seg_table *table, const int64_t *rows, int64_t n, uint8_t *out, int64_t capacity,
                              int64_t *sizes);
/* XXH3 of the ids of n rows from a first one on. */
SEG_API void seg_table_hashes(const seg_table *table, int64_t first, int64_t n, uint64_t *out);

/* Bytes that a table has taken, beside its columns. */
typedef struct seg_memory {
  int64_t ids, index, slots, events, orders, days, ledgers, traits, others;
} seg_memory;
SEG_API void seg_table_memory(const seg_table *table, seg_memory *out);

/* How rows call segmentations: by the digests of their names, of which a number here is the 8 canonical bytes. */
typedef struct seg_names {
  const uint64_t *names;   /* [m] */
  const uint64_t *ruled;   /* [r] */
  const int32_t *since_of; /* [r]: which of the k columns says when the present segment was entered, -1 for none */
} seg_names;

/* Fills the columns of a segmentation that Python has added, from what rows said of it when they were restored. */
SEG_API void seg_table_admit(seg_table *table, const seg_columns *columns, const seg_names *names,
                             int64_t segmentation);
SEG_API void seg_table_admit_ruled(seg_table *table, const seg_columns *columns, const seg_names *names, int64_t ruled);

/* The number of a series of events, the next one if it has none yet; SEG_NO_ROOM beyond SEG_SERIES_MAX. The digests of
 * all, by number; how many there are. */
SEG_API int32_t seg_table_series(seg_table *table, uint64_t digest);
SEG_API int32_t seg_table_series_digests(const seg_table *table, const uint64_t **out);
/* What a customer puts into the sums of its segments, and all of these counted anew. */
void seg_member_values(const seg_activity *activity, int64_t values[SEG_MEMBER_SUMS]);
SEG_API void seg_table_count_members(const seg_table *table, const seg_columns *columns);

/* What a row's conditions look at; valid until the row changes. None of a row that there is not. */
SEG_API seg_bytes seg_table_ledger(const seg_table *table, int64_t row);
SEG_API seg_bytes seg_table_traits(const seg_table *table, int64_t row);
seg_bytes seg_table_id(const seg_table *table, int64_t row);
/* Replaces them, by what may lie in the very row; SEG_OK, SEG_NO_MEMORY, or SEG_OUT_OF_RANGE where there is no such row
 * or it is more than one can have. */
SEG_API int32_t seg_table_put_ledger(seg_table *table, int64_t row, seg_bytes ledger);
SEG_API int32_t seg_table_put_traits(seg_table *table, int64_t row, seg_bytes traits);

/* Has row `into` be that of both customers, and `from` nobody's: see merging.c. `ledger` and `traits` are room to work in.
 * Memberships stay as they are. SEG_OK, SEG_NO_MEMORY (the table is to be thrown away then) or SEG_OUT_OF_RANGE. */
int32_t seg_merge_rows(seg_table *table, const seg_columns *columns, const seg_program *program, seg_ledger *ledger,
                       seg_traits *traits, int64_t into, int64_t from);
/* The same with room of its own. For tests. */
SEG_API int32_t seg_table_merge(seg_table *table, const seg_columns *columns, const seg_program *program, int64_t into,
                                int64_t from);
/* What a merge says in place of an amount: which of both rows are here. */
enum { SEG_JOINS, SEG_HANDS_OVER, SEG_TAKES_OVER };
/* In place of a row's first instant: nobody is left here to be asked. The customer goes by another id; or has not agreed
 * to be known (barring.c): statements on consent are all there is of it; or has been erased, and the row is to be removed
 * when the step has been written. */
#define SEG_MERGED_MS (SEG_NEVER + 1)
#define SEG_BARRED_MS (SEG_NEVER + 2)
#define SEG_ERASED_MS (SEG_NEVER + 3)
/* Leaves of a row its memberships, and the statements on consent where they are to be kept. SEG_OK or SEG_NO_MEMORY. */
int32_t seg_clear_row(seg_table *table, const seg_columns *columns, int64_t row, int64_t instead_of_first_ms,
                      seg_bytes statements);
/* Makes a row as new, memberships and all. */
void seg_renew_row(seg_table *table, const seg_columns *columns, int64_t row);
/* Whether any row has had a statement on consent. */
bool seg_table_has_statements(const seg_table *table);

/* Takes kept fields over as the traits of n rows; of each, whether anything changed. For tests. */
SEG_API int32_t seg_table_take_traits(seg_table *table, int64_t n, const int64_t *rows, const seg_bytes *kept,
                                      const int64_t *observed_ms, uint8_t *changed);
/* Of each trait that any customer has a value of, by name: how many do (u64), size of the name (u8), name. How many bytes
 * that is, which are written where there is room for them; or SEG_NO_MEMORY. */
SEG_API int64_t seg_table_count_traits(const seg_table *table, uint8_t *out, int64_t capacity);

/* Encodes n rows, one after the other; how many bytes they are. Without `out`: how many there must be room for. */
SEG_API int64_t seg_table_encode(seg_table *table, const seg_columns *columns, const seg_names *names,
                                 const int64_t *rows, int64_t n, uint8_t *out, int64_t capacity, int64_t *sizes);

enum { /* why a row is refused */
  SEG_WHY_SHORT,
  SEG_WHY_VERSION,
  SEG_WHY_LENGTH,
  SEG_WHY_EVENTS,
  SEG_WHY_ORDERS,
  SEG_WHY_ACTIVE,
  SEG_WHY_ENGAGED,
  SEG_WHY_NO_ORDER,
  SEG_WHY_SEGMENT,
  SEG_WHY_MEMBERSHIPS,
  SEG_WHY_ID,
  SEG_WHY_PLACES,
  SEG_WHY_SEQUENCE,
  SEG_WHY_LEDGER,
  SEG_WHY_TRAITS,
  SEG_WHY_SERIES
};
typedef struct seg_refusal {
  int64_t index;           /* of the row, also where memory or room ended */
  int64_t found, expected; /* numbers for the message */
  int32_t why;             /* of SEG_DAMAGED and SEG_UNKNOWN */
  int32_t reserved;
} seg_refusal;
/* One part of n records, such as their keys: where in a buffer each stands. A size of -1 says that there is none. */
typedef struct seg_parts {
  const uint8_t *data;
  int64_t size;         /* of the buffer */
  const int64_t *at;    /* [n] */
  const int64_t *sizes; /* [n] */
} seg_parts;

/* Puts n encoded rows in, in place of what the table has of their customers; a value of the size -1 removes a customer.
 * Stops at the first that cannot be put in: those before it are, `refusal` says which and why. */
SEG_API int32_t seg_table_restore(seg_table *table, const seg_columns *columns, const seg_names *names, int64_t n,
                                  const seg_parts *keys, const seg_parts *values, seg_refusal *refusal);

/* --- fold: an event into a row, see fold.c --- */

enum { SEG_REPEATED = 1, SEG_TOO_OLD = 2 };
/* What an event was to its row, beside the totals. */
typedef struct seg_folded {
  bool is_quiet;      /* it only continues a session, or says of an order what leaves all totals as they were */
  bool is_restated;   /* it says again what an order is that was known, or that it is cancelled */
} seg_folded;
/* Adds an event to a row whose numbers are `activity`, which is changed in place. SEG_OK; SEG_REPEATED if the row holds
 * it already, or SEG_TOO_OLD if it is of an order of which only the id is known any more (nothing is changed then); or
 * SEG_NO_MEMORY. */
int32_t seg_fold(seg_table *table, int64_t row, seg_activity *activity, const seg_event *event, seg_folded *folded);

enum { SEG_FOLDED, SEG_FOLD_QUIET, SEG_FOLD_REPEATED, SEG_FOLD_TOO_OLD };
/* Folds n events into the rows given for each; says of each what it was. For tests. */
SEG_API int32_t seg_fold_all(seg_table *table, const seg_columns *columns, int64_t n, const int64_t *rows,
                             const seg_event *events, uint8_t *outcomes);

/* --- backfill: events of the past for conditions that are new, see backfill.c --- */

/* Enters n events, none of them twice, into the series whose numbers are `first_series` or higher; `rows` receives the
 * row of each event's customer, -1 where there is none. `begun`, if it is not NULL, says of each row whether its series
 * are events of this backfill alone; of those where it is 0, what they held is dropped. SEG_OK, or a seg_status: a part
 * of the events may have been entered. */
SEG_API int32_t seg_backfill(seg_table *table, const seg_program *program, const seg_event *events, int64_t n,
                             const uint8_t *texts, int64_t texts_size, int32_t first_series, uint8_t *begun,
                             int64_t *rows);

/* --- step: see stream_app/core/processor.py --- */

typedef struct seg_clock {
  int64_t watermark_ms, swept_at_ms;
} seg_clock;

enum { SEG_UPCOMING, SEG_AVERTED }; /* what a notice says */

/* That a customer will leave a segment by time alone, or was about to and does not. */
typedef struct seg_notice {
  int64_t row;           /* the customer's number */
  int64_t event;         /* index of the event that caused it, -1 for none */
  int64_t decided_at_ms; /* when it was found; once a sweep or an event has come to `leaves_at_ms` - `lead_ms` */
  int64_t leaves_at_ms;  /* when the customer leaves, or would have left */
  int64_t lead_ms;       /* as configured: so long before it is told; whole seconds, > 0 */
  int64_t next_at_ms;    /* when silence moves the customer next, SEG_NEVER for never */
  int32_t segmentation;  /* index among all */
  int32_t cause;         /* SEG_PURCHASE ... SEG_ERASURE; SEG_LAPSE where time has come near */
  int32_t sequence;      /* from 1, of the notices of customer and segmentation */
  int32_t code;          /* the segment that it is about */
  int32_t target;        /* index of the roster, SEG_NOWHERE for nowhere: where it leads, or would have led */
  int32_t next_target;   /* likewise, of the move at next_at_ms */
  int32_t status;        /* SEG_UPCOMING or SEG_AVERTED */
  int32_t reserved;
} seg_notice;
_Static_assert(sizeof(seg_notice) == 80, "seg_notice");

/* That moves by time alone out of segments of a segmentation are told beforehand. */
typedef struct seg_warning {
  int64_t lead_ms;   /* so long before; whole seconds, > 0 */
  int32_t column;    /* of the segmentation: m, and then those by rules */
  int32_t place;     /* which of the places keeps what was told, behind those of rules */
  int32_t since;     /* and which of the k columns the instant of the move */
  int32_t reserved;
} seg_warning;
_Static_assert(sizeof(seg_warning) == 24, "seg_warning");

typedef struct seg_step {
  /* in */
  const seg_event *events; /* in the order of the log; a refund without a customer is that of who holds its order */
  int64_t event_count;
  const uint8_t *texts;
  int64_t texts_size;
  const int64_t *sweep_at_ms;   /* ascending */
  const int64_t *sweep_before;  /* index of the event before which each happens */
  int64_t sweep_count;
  int64_t first_row, last_row;  /* whose due dates count; last_row beyond the table for all */
  const seg_segmentation *const *segmentations; /* [m + r] */
  const int64_t *revised_at_ms; /* [m]: when each version took over */
  const seg_program *program;   /* NULL if there are no rules */
  int64_t rules_revised_at_ms;
  const seg_warning *warnings;
  int64_t warning_count;
  const int32_t *numbers;       /* [m + r]: index among all segmentations, of those of the columns and then of rules */
  const int64_t *watermarks_ms; /* of each event, how far time has come with it; NULL to take each at its word */
  const uint8_t *purposes;      /* each: size (u8), name; SEG_PURPOSES_MAX at most, the first is the segmentation */
  int64_t purposes_size;
  const uint8_t *jurisdictions; /* each: size (u8), bits of the purposes that it speaks of and that opt in, text */
  int64_t jurisdictions_size;
  int64_t opts_in;              /* bits of the purposes that nobody agrees to of whom nothing is said; see barring.c */
  /* in and out */
  seg_clock clock;
  /* out; the arrays are the workspace's and stand until its next step */
  const seg_move *moves;        /* in the order in which they are told */
  int64_t move_count;
  const seg_fact *facts;
  int64_t fact_count;
  const seg_notice *notices;    /* in the order in which they are told */
  int64_t notice_count;
  const int64_t *changed;       /* rows that changed: those with events, in order of appearance, then those that moved */
  int64_t changed_count;
  const int64_t *swept_customers; /* of each sweep, how many customers there were */
  int64_t applied, late, duplicates;
  int64_t too_old; /* of the duplicates: what was said of orders of which only the id is left */
  const int64_t *owners; /* of each refund without a customer, the row that it was folded into; -1: none, for nothing */
  int64_t owner_count;
  const int64_t *unwanted; /* indices of the events that were not folded, as their customers have not agreed to it */
  int64_t unwanted_count;
  int64_t erasures;     /* events that erased somebody: rows of SEG_ERASED_MS are among the changed ones, and to be removed */
} seg_step;

/* When silence first moves the customers of n rows, from a first one on, in segmentation by rules r; see seg_silence. */
SEG_API int32_t seg_ask_rules(const seg_program *program, const seg_table *table, const seg_columns *columns,
                              const seg_segmentation *const *segmentations, int32_t r, int64_t first, int64_t n,
                              int64_t after_ms, seg_due *out);

/* What a step needs while it runs, and what it gives. */
typedef struct seg_workspace seg_workspace;
SEG_API seg_workspace *seg_workspace_new(void);
SEG_API void seg_workspace_free(seg_workspace *workspace);

/* Takes the events in, lets time pass, and decides who moves. The columns must have room for as many new customers as
 * there are events. SEG_OK, or a seg_status; then the table may hold a part of the events and is to be thrown away. */
SEG_API int32_t seg_take_step(seg_workspace *workspace, seg_table *table, const seg_columns *columns, seg_step *step);

/* --- outputs: moves → migrations and memberships as JSON, see outputs.c --- */

#define SEG_LEARNED_TARGETS 12 /* seven roles, new customers, four lapsed kinds */
#define SEG_DIGITS_MAX 4       /* decimals of the base currency */
#define SEG_CONDITIONS_MAX 65536

/* What figures need of what a model has learned. */
typedef struct seg_told_frame {
  seg_rhythm rhythm;
  double order_value_minor, log_order_value; /* the usual one, its ln */
  int64_t knows_order_value;
} seg_told_frame;

/* Texts of a presentation, in this order. SALT and PLAIN_NAME are UTF-8, NAME is a JSON string, and the others are the
 * inside of one. */
enum {
  SEG_SALT,         /* of the holdout, with a colon */
  SEG_PLAIN_NAME,   /* the segmentation's */
  SEG_NAME,         /* likewise */
  SEG_CURRENCY,     /* the base currency */
  SEG_USUAL_ORDER,  /* the usual order in words, "about 45 EUR" */
  SEG_NEW_WITHIN,   /* how long customers are new, "35 days" */
  SEG_IS_NEW,       /* opening of what moves customers where the segmentation is new */
  SEG_TEXTS
};

/* How a version of a segmentation is told. Its texts stand one after the other: those above, the JSON of each known
 * segment's reference, each one's name; for the learned kind the statement of each target, for rules what the value of
 * each condition counts, and the condition, in the order of their numbers. */
typedef struct seg_presentation_form {
  int32_t kind, version;
  int32_t digits;           /* decimals of the base currency, 0 to SEG_DIGITS_MAX */
  int32_t holdout_percent;
  int32_t counts_engagement;
  int32_t target_count, known_count;
  int32_t condition_count;     /* of rules, 0 to SEG_CONDITIONS_MAX; an audience has one target */
  const int16_t *codes;        /* [target_count] */
  const int16_t *known_codes;  /* [known_count]: of every segment that a customer may be in, retired ones included */
  const int16_t *levels;       /* likewise */
  const uint8_t *texts;
  const int64_t *text_ends;    /* ascending */
  int64_t text_count;
  /* the learned kind */
  const seg_learned *model;
  seg_told_frame frame, previous; /* of this version, and of the one before (or this one's, where there is none) */
} seg_presentation_form;

typedef struct seg_presentation seg_presentation;
/* Copies a form. NULL if there is no memory, or it is not consistent. */
SEG_API seg_presentation *seg_presentation_new(const seg_presentation_form *form);
SEG_API void seg_presentation_free(seg_presentation *p);

/* Where the texts of a move stand. */
typedef struct seg_described {
  int64_t migration_at, membership_at, key_at, headers_at;
  int32_t migration_size;
  int32_t membership_size;   /* -1 for none: the customer has left */
  int32_t key_size;          /* of the membership's key */
  int32_t customer_size;     /* of the customer's id, at the end of that key */
  int32_t headers_size;      /* of the migration's headers, as Kafka's records have them */
  int32_t reserved;
} seg_described;

_Static_assert(sizeof(seg_described) == 56, "seg_described");

/* Texts one after the other, and where each ends. */
typedef struct seg_texts {
  const uint8_t *data;
  const int64_t *ends; /* ascending */
  int64_t count;
} seg_texts;

typedef struct seg_description {
  /* in */
  const seg_move *moves;
  int64_t move_count;
  const seg_fact *facts;   /* those that the moves name */
  int64_t fact_count;
  const seg_event *events; /* those that the moves' `event` are indices of */
  int64_t event_count;
  const uint8_t *texts;    /* of these */
  int64_t texts_size;
  seg_texts customers;     /* id of each move's customer, UTF-8 */
  seg_texts sources;       /* name of each source as a JSON string */
  seg_texts told;          /* of each move: what Python has to say, see outputs.c; empty for nothing */
  const seg_presentation *const *presentations; /* of the moves' `segmentation` */
  int64_t presentation_count;
  int64_t partition;       /* of the events' positions */
  seg_texts source;        /* one text: who publishes, as headers say it; no text for no headers */
  seg_texts purposes;      /* names of the purposes of consent as JSON strings */
  const seg_notice *notices; /* of seg_describe_notices, in place of moves; `customers` are theirs then */
  int64_t notice_count;
  /* out; `described` is Python's, [move_count]; the texts are the describer's and stand until it is asked again */
  seg_described *described;
  const uint8_t *migrations; /* a newline behind each */
  int64_t migrations_size;
  const uint8_t *memberships;
  int64_t memberships_size;
  const uint8_t *keys;
  int64_t keys_size;
  const uint8_t *headers;
  int64_t headers_size;
} seg_description;

typedef struct seg_describer seg_describer;
SEG_API seg_describer *seg_describer_new(void);
SEG_API void seg_describer_free(seg_describer *describer);
/* Writes the migration and the membership of each move. SEG_OK; SEG_NO_MEMORY; or SEG_OUT_OF_RANGE if an index or a
 * length leads out of what was handed over. */
SEG_API int32_t seg_describe(seg_describer *describer, seg_description *d);
/* Writes notices where seg_describe writes migrations; there are no memberships. */
SEG_API int32_t seg_describe_notices(seg_describer *describer, seg_description *d);
/* On which axis each of n moves of a learned kind was decided; SEG_OK or SEG_OUT_OF_RANGE. */
SEG_API int32_t seg_deciding_axes(const seg_presentation *p, int64_t n, const seg_move *moves, int32_t *out);
/* --- placement: on which partition customers belong, see placement.c --- */

/* Of each of n events; SEG_OK, or SEG_OUT_OF_RANGE if a text does not lie in the buffer. */
SEG_API int32_t seg_place_events(int64_t n, const seg_event *events, const uint8_t *texts, int64_t texts_size,
                                 int32_t partitions, int32_t *out);

/* --- batches: Kafka's record batches, in and out; see batches.c --- */

enum { SEG_BATCH_CODEC = 7, SEG_BATCH_APPEND_TIME = 8, SEG_BATCH_TRANSACTIONAL = 16, SEG_BATCH_CONTROL = 32 };
enum { SEG_NO_MARKER = -1, SEG_ABORTED = 0, SEG_COMMITTED = 1 };

/* A batch that was fetched. */
typedef struct seg_batch {
  int64_t base_offset, last_offset;
  int64_t base_timestamp_ms, max_timestamp_ms;
  int64_t producer_id;      /* -1 for none */
  int64_t records_at;       /* where in the buffer its records are */
  int64_t records_size;     /* bytes, as long as it is compressed of what is compressed */
  int32_t record_count;
  int32_t base_sequence;
  int16_t producer_epoch;
  uint16_t attributes;      /* SEG_BATCH_...; the codec is 0 for what is not compressed */
  int16_t marker;           /* of a control batch: SEG_ABORTED, SEG_COMMITTED or another; SEG_NO_MARKER */
  uint16_t is_chosen;       /* whether seg_read_records reads it: set, the caller may unset it */
} seg_batch;

_Static_assert(sizeof(seg_batch) == 72, "seg_batch");

/* Columns of records, each int64_t[stride], one after the other in this order. A key or value that is null has size -1.
 * Headers are as in a batch: their number, and of each the key's size, the key, the value's size, the value. */
enum {
  SEG_RECORD_OFFSET,
  SEG_RECORD_TIMESTAMP,
  SEG_RECORD_KEY_AT,
  SEG_RECORD_KEY_SIZE,
  SEG_RECORD_VALUE_AT,
  SEG_RECORD_VALUE_SIZE,
  SEG_RECORD_HEADERS_AT,
  SEG_RECORD_HEADERS_SIZE, /* out: 0 for none; in: 1 then, for their number */
  SEG_RECORD_COLUMNS
};

/* Finds the batches in what was fetched, up to the one that is cut off; SEG_CRC_NONE trusts them. Their number (at most size / 61), SEG_DAMAGED,
 * SEG_UNKNOWN for one that is not of format 2, or SEG_NO_ROOM. */
SEG_API int64_t seg_find_batches(const uint8_t *buffer, int64_t size, int32_t crc_kind, seg_batch *out, int64_t room);
/* Finds the records of the chosen batches that are not before an offset. Their number, SEG_DAMAGED, or SEG_NO_ROOM where
 * the columns, int64_t[SEG_RECORD_COLUMNS][room], do not hold all. */
SEG_API int64_t seg_read_records(const uint8_t *buffer, int64_t size, const seg_batch *batches, int64_t batch_count,
                                 int64_t first_offset, int64_t *out, int64_t room);
/* Makes a batch of at most `limit` bytes from the records [first, stride); one record may be larger. Their offsets are
 * not looked at. The number of records taken, or SEG_NO_ROOM if the first one does not fit in `room`. */
SEG_API int64_t seg_build_batch(const uint8_t *buffer, int64_t size, const int64_t *records, int64_t stride,
                                int64_t first, int64_t limit, uint8_t *out, int64_t room, int64_t *used);
/* Says in a batch who sends it, and computes its checksum; may be called again. */
SEG_API int32_t seg_seal_batch(uint8_t *batch, int64_t size, int64_t producer_id, int32_t producer_epoch,
                               int32_t base_sequence, int32_t is_transactional, int32_t crc_kind);

/* How CRC-32C is computed; `seg_crc_kind` says which way this processor has, and is to be asked once. */
enum { SEG_CRC_NONE, SEG_CRC_TABLES, SEG_CRC_INSTRUCTION };
SEG_API int32_t seg_crc_kind(void);
SEG_API uint32_t seg_crc32c(const uint8_t *data, int64_t size, int32_t crc_kind);

#endif
