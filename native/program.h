/* What the parts that evaluate rules know of each other: form.c (bytes → program), selectors.c and matching.c (which
 * series an event belongs to), ledger.c, sums.c and thinning.c (series as bytes), figures.c, windows.c and literals.c
 * (one condition at an instant), program.c and explaining.c (all of them). Nobody else looks in here.
 *
 * The form of a program, little-endian, without gaps: `seg_form_header`, then the records below in the order of the
 * header's counts, each list one after the other, then hashes (uint64 each) and texts (bytes). A *reference* to a
 * condition is index << 1 | negated, where indices below the number of literals are literals and the others are nodes;
 * a node refers to what stands before it only. A *text* is a place and a size within the texts. */
#ifndef SEGMENTER_PROGRAM_H
#define SEGMENTER_PROGRAM_H

#include <string.h>

#include "segmenter.h"

#define SEG_FORM 1
#define SEG_LITERALS_MAX 2048
#define SEG_NODES_MAX 2048
#define SEG_TRAIT_NAMES_MAX 128
#define SEG_FIELD_NAMES_MAX 256
#define SEG_RULES_MAX 256
#define SEG_OWN_SERIES_MAX 512 /* series of a program; of a table there may be SEG_SERIES_MAX */
#define SEG_COUNT_MAX 4096 /* entries of a series, and the greatest n of "at least n" */
#define SEG_MILLIONTHS 1000000.0

typedef struct seg_form_header {
  int32_t format, series, selectors, feeds, tests, fields, traits, literals, nodes, edges, rules, roots, conditions;
  int32_t zones, runs, hashes;
  int64_t text_size;
  double minor_per_major; /* of the base currency */
} seg_form_header;

enum { /* what a series keeps */
  SEG_KEEP_INSTANTS, /* the newest ones; or those that windows which end before now can tell apart */
  SEG_KEEP_DAYS,     /* the newest ones of each local day */
  SEG_KEEP_OLDEST,   /* the oldest instant */
  SEG_KEEP_COUNT,    /* how many, ever or from .. to */
  SEG_KEEP_TOTALS,   /* how many, their sum, the least and the greatest value, ever or from .. to */
  SEG_KEEP_VALUES,   /* instants with values: exact ones, and buckets of what is older */
  SEG_KEEP_GREATEST, /* those that can be the greatest of a window */
  SEG_KEEP_LEAST,
  SEG_KEEP_DECAYED,  /* the sum as of the newest instant */
  SEG_KEEP_LAST,     /* the newest instant, and whether its event passes `test` */
  SEG_KEEP_OBSERVED, /* a trait's observations */
  SEG_KEEPS
};

typedef struct seg_kept_series {
  int32_t number;      /* in ledgers */
  int32_t keep;        /* SEG_KEEP_... */
  int32_t newest;      /* how many of the newest there must be, at least 1 */
  int32_t spread;      /* greatest n of windows that end before now, 0 if there are none; of days: how many of each */
  int64_t width_ms;    /* the least width of such windows; of values: of a bucket; of extremes: 0 if all end now */
  int64_t horizon_ms;  /* what is so much older than the newest is in no window */
  int64_t from_ms, to_ms;
  double half_life_ms;
  int32_t zone;        /* of days, else -1 */
  int32_t first_test, test_count; /* of LAST */
  int32_t trait;       /* of OBSERVED, else -1 */
} seg_kept_series;

enum { SEG_OF_NOTHING = -1, SEG_OF_AMOUNT = -2, SEG_OF_TYPE = -3, SEG_OF_ONE = -4 }; /* in place of a field */

typedef struct seg_selector {
  int32_t type_at, type_size; /* text */
  int32_t is_prefix;
  int32_t kinds;              /* bit of each SEG_PURCHASE ... */
  int32_t first_test, test_count;
  int32_t value;              /* field, or SEG_OF_...; events without a number there do not count */
  int32_t first_feed, feed_count;
  int32_t reserved;
} seg_selector;

enum { /* tests of a value */
  SEG_TEST_EXISTS,
  SEG_TEST_AT_LEAST, /* numbers */
  SEG_TEST_MORE,
  SEG_TEST_NUMBER,   /* equals */
  SEG_TEST_TEXT,
  SEG_TEST_TRUE,
  SEG_TEST_FALSE,
  SEG_TEST_AMONG,    /* hashes of kind and value, ascending */
  SEG_TEST_CONTAINS,
  SEG_TEST_BEGINS,
  SEG_TESTS
};

typedef struct seg_test {
  int32_t field;    /* or SEG_OF_...; of a trait's test: without meaning */
  int32_t test;     /* SEG_TEST_... */
  int32_t negated;
  int32_t at, size; /* text, or hashes */
  int32_t reserved;
  double number;
} seg_test;

typedef struct seg_form_name { /* of a field or, ascending, a trait */
  int32_t at, size;
} seg_form_name;

enum { /* literals: conditions that are asked at an instant */
  SEG_IS_COUNT,     /* n or more in (now - b, now - a]; with a zone: on the `days` local dates up to today, or (a = 1)
                       up to yesterday */
  SEG_IS_TOTAL,     /* n or more ever */
  SEG_IS_PILE,      /* `what` of such a window, in millionths, compared with `least` */
  SEG_IS_TOTALS,    /* likewise of all */
  SEG_IS_FIRST,     /* the oldest in (now - b, now] */
  SEG_IS_SEQUENCE,  /* of a series in (now - b, now] with one of `other` in (t, t + a] */
  SEG_IS_DECAYED,   /* compared with `number` */
  SEG_IS_LAST,      /* the newest passes */
  SEG_IS_HELD,      /* the trait passes `test`, and has so for b */
  SEG_IS_FIGURE,
  SEG_IS_TRAIT,     /* passes `test` */
  SEG_IS_DATE,      /* the trait is a date as `what` (SEG_DATE_...) and b say */
  SEG_IS_ROUND,     /* its day of the year comes on one of `days` dates from today on; 0: in this month */
  SEG_IS_MEMBER,    /* segment n of segmentation `other` of another kind, for b or longer */
  SEG_IS_LISTED,    /* hashes from `other` on, n of them */
  SEG_IS_DRAWN,     /* by salt `other`, of n bytes: from a to b in hundredths of a percent */
  SEG_LITERALS
};
enum { SEG_WHAT_SUM, SEG_WHAT_LEAST, SEG_WHAT_GREATEST, SEG_WHAT_AVERAGE, SEG_WHATS };
enum { SEG_AT_LEAST, SEG_MORE_THAN, SEG_KNOWN }; /* comparisons; KNOWN: there is something to compare */
enum { SEG_DATE_PAST, SEG_DATE_AHEAD, SEG_DATE_BEFORE, SEG_DATE_FROM, SEG_DATES };
#define SEG_FIGURES 15 /* see figures.c */

typedef struct seg_literal {
  int32_t kind;     /* SEG_IS_... */
  int32_t series;   /* index, or -1 */
  int32_t other;    /* another series, segmentation, hash or text */
  int32_t n;
  int64_t a, b;
  int64_t least;    /* in millionths */
  double number;
  int32_t compare;  /* SEG_AT_LEAST ... */
  int32_t what;     /* SEG_WHAT_..., SEG_DATE_..., a figure */
  int32_t zone, days;
  int32_t trait, test;
} seg_literal;

enum { SEG_NODE_ALL, SEG_NODE_POINTS, SEG_NODE_HELD };

typedef struct seg_node {
  int32_t kind;
  int32_t first_edge, edge_count;
  int32_t rule, root;  /* HELD: whose segment is held */
  int32_t reserved;
  int64_t least;       /* POINTS: at least; HELD: how long, ms */
} seg_node;

typedef struct seg_edge {
  int32_t to, points; /* a reference */
} seg_edge;

typedef struct seg_rule {
  int32_t first_root, root_count; /* the first that holds decides */
  int32_t otherwise;              /* target where none does, or SEG_NOWHERE */
  int32_t otherwise_code;
  int32_t since;                  /* k, or -1 */
  int32_t first_condition, condition_count;
  int32_t reserved;
} seg_rule;

typedef struct seg_root {
  int32_t to, code;
} seg_root;

typedef struct seg_condition {
  int32_t to;       /* a reference */
  int32_t measured; /* literal whose figure is told, or -1 */
} seg_condition;

typedef struct seg_zone {
  int32_t first_run, run_count;
} seg_zone;

_Static_assert(sizeof(seg_form_header) == 80, "form of rules");
_Static_assert(sizeof(seg_kept_series) == 72 && sizeof(seg_selector) == 40 && sizeof(seg_test) == 32, "form of rules");
_Static_assert(sizeof(seg_literal) == 72 && sizeof(seg_node) == 32 && sizeof(seg_rule) == 32, "form of rules");

struct seg_program {
  seg_form_header count;
  uint8_t *memory; /* of the lists */
  seg_kept_series *series;
  seg_selector *selectors;
  int32_t *feeds;
  seg_test *tests;
  seg_form_name *fields, *traits;
  seg_literal *literals;
  seg_node *nodes;
  seg_edge *edges;
  seg_rule *rules;
  seg_root *roots;
  seg_condition *conditions;
  seg_zone *zones;
  seg_zone_run *runs;
  uint64_t *hashes;
  uint8_t *texts;
  /* made of it */
  int32_t *by_type;     /* by hash: the first selector of exact types of that hash, -1 for none */
  int32_t *same_type;   /* the next of them, or of those by beginnings; -1 */
  int32_t type_mask, first_prefix;
  int32_t *observed;    /* by trait: the series of its observations, -1 for none */
  int16_t local[SEG_SERIES_MAX]; /* number in ledgers → index, -1 */
  int32_t *series_first, *on_series; /* literals of series i: those from series_first[i] to series_first[i + 1] */
  int32_t *watched;     /* literals on traits, then on figures */
  int32_t traits_end, activity_end; /* where each of them ends */
  uint64_t *scopes;     /* of each rule: bits of the literals and nodes that it is made of */
  int32_t scope_words;
  seg_program_shape shape;
};

/* --- instants.c --- */

/* The instant that a text means: RFC 3339 with a zone, or a date, which is its midnight in UTC. */
bool seg_read_instant(const uint8_t *at, int64_t size, int64_t *at_ms);
/* The date as it is written in the text; whether there is one. */
bool seg_read_written_date(const uint8_t *at, int64_t size, int32_t *year, int32_t *month, int32_t *day);
int64_t seg_days_of_date(int32_t year, int32_t month, int32_t day); /* since 1970-01-01 */
void seg_date_of_days(int64_t days, int32_t *year, int32_t *month, int32_t *day);

/* --- calendars.c --- */

int64_t seg_midnight_ms(const seg_program *p, int32_t zone, int64_t day);
int64_t seg_local_day(const seg_program *p, int32_t zone, int64_t at_ms);

/* --- matching.c: values, and what is asked of them --- */

typedef struct seg_value {
  int32_t kind; /* SEG_FIELD_..., -1 for none */
  const uint8_t *data;
  int64_t size;
} seg_value;

bool seg_passes(const seg_program *p, const seg_test *test, seg_value value);
uint64_t seg_value_hash(seg_value value);
bool seg_number_of(seg_value value, double *number);
bool seg_is_listed(const seg_program *p, int32_t at, int32_t count, uint64_t hash);
bool seg_is_drawn(const uint8_t *salt, int64_t salt_size, seg_bytes id, int64_t from, int64_t to);
uint64_t seg_id_hash(seg_bytes id);
uint64_t seg_text_hash(const uint8_t *text, int64_t size);
/* The next of the kept fields; false at the end, and at what is cut off. */
bool seg_next_kept(const uint8_t **at, const uint8_t *end, const uint8_t **name, int32_t *name_size, seg_value *value);

/* --- ledger.c --- */

/* A series as it lies in a ledger. */
typedef struct seg_held_series {
  const uint8_t *buckets, *entries;
  int32_t bucket_count, count, shape;
} seg_held_series;

enum { /* shapes of entries */
  SEG_SHAPE_INSTANTS,
  SEG_SHAPE_VALUES,
  SEG_SHAPE_BUCKETS, /* values, and buckets before them */
  SEG_SHAPE_COUNT,
  SEG_SHAPE_TOTALS,
  SEG_SHAPE_DECAYED,
  SEG_SHAPE_LAST,
  SEG_SHAPE_OBSERVED
};
#define SEG_INSTANT_BYTES 6
#define SEG_VALUE_BYTES 14
#define SEG_BUCKET_BYTES 18
#define SEG_TOTALS_BYTES 28
#define SEG_EXACT_VALUES 256
#define SEG_EXTREMES_MAX 1024
#define SEG_OBSERVATIONS_MAX 8

/* A series within a ledger that is to be changed. */
typedef struct seg_place_of {
  int64_t head;        /* where its header begins */
  int64_t body;        /* and its entries, buckets first */
  int32_t shape, count, buckets;
} seg_place_of;

static inline int64_t seg_get_instant(const uint8_t *at) {
  uint64_t bits = 0;
  memcpy(&bits, at, SEG_INSTANT_BYTES);
  return (int64_t)(bits << 16) >> 16;
}
static inline int64_t seg_get_i64(const uint8_t *at) {
  int64_t value;
  memcpy(&value, at, sizeof value);
  return value;
}
void seg_put_instant(uint8_t *at, int64_t at_ms);

/* --- going through a ledger: in place here, as everything that looks at one does it --- */

#define SEG_NUMBER_BITS 10
#define SEG_SHAPE_BITS 3
#define SEG_SHORT_MAX 7
_Static_assert(SEG_SERIES_MAX == 1 << SEG_NUMBER_BITS, "a series' number has as many bits");

static const int8_t seg_entry_sizes[] = {SEG_INSTANT_BYTES, SEG_VALUE_BYTES,       SEG_VALUE_BYTES,       4,
                                         SEG_TOTALS_BYTES,  SEG_INSTANT_BYTES + 8, SEG_INSTANT_BYTES + 1, SEG_VALUE_BYTES};

static inline int64_t seg_entry_bytes(int32_t shape) { return seg_entry_sizes[shape]; }
static inline uint16_t seg_get_u16(const uint8_t *at) { return (uint16_t)(at[0] | at[1] << 8); }

static inline int64_t seg_head_bytes(int32_t shape, int32_t count) {
  if (shape == SEG_SHAPE_BUCKETS) return 6;
  return count >= 1 && count <= SEG_SHORT_MAX ? 2 : 4;
}

static inline int64_t seg_body_bytes(const seg_place_of *place) {
  return place->buckets * (int64_t)SEG_BUCKET_BYTES + place->count * (int64_t)seg_entry_sizes[place->shape];
}

static inline int64_t seg_ledger_end(const seg_place_of *place) { return place->body + seg_body_bytes(place); }

/* Reads the series that begins at `at`; false if it does not lie within the bytes. */
static inline bool seg_ledger_read(const uint8_t *data, int64_t size, int64_t at, int32_t *number, seg_place_of *place) {
  if (at < 0 || size - at < 2) return false;
  const int32_t bits = seg_get_u16(data + at);
  *number = bits & (SEG_SERIES_MAX - 1);
  place->head = at;
  place->shape = bits >> SEG_NUMBER_BITS & ((1 << SEG_SHAPE_BITS) - 1);
  place->count = bits >> (SEG_NUMBER_BITS + SEG_SHAPE_BITS);
  place->buckets = 0;
  place->body = at + seg_head_bytes(place->shape, place->count);
  if (place->body > size) return false;
  if (place->count == 0) place->count = seg_get_u16(data + at + 2);
  if (place->shape == SEG_SHAPE_BUCKETS) place->buckets = seg_get_u16(data + at + 4);
  return seg_body_bytes(place) <= size - place->body;
}

/* Finds the series of a ledger; those that a program does not know are left out. */
void seg_find_series(const seg_program *p, seg_bytes ledger, seg_held_series *held);
/* Enters something into a series; whether it has changed. `value` in millionths, or what the series' kind says. */
bool seg_ledger_enter(const seg_program *p, seg_ledger *ledger, const seg_kept_series *series, int64_t at_ms,
                      int64_t value, bool *lost);
/* Where a series is, or (false) would be. */
bool seg_ledger_find(const seg_ledger *ledger, int32_t number, seg_place_of *place);
/* Has a ledger be that of both: see ledger_merging.c. */
void seg_ledger_merge(const seg_program *p, seg_ledger *into, seg_bytes from);
int32_t seg_shape_of(int32_t keep);
/* Inserts an entry before index `at`, or removes it; room is seen to. */
void seg_entry_insert(seg_ledger *ledger, int32_t number, seg_place_of *place, int32_t at, const uint8_t *entry);
void seg_entry_remove(seg_ledger *ledger, seg_place_of *place, int32_t at, int32_t n);
void seg_bucket_insert(seg_ledger *ledger, seg_place_of *place, int32_t at, const uint8_t *bucket);
void seg_bucket_remove(seg_ledger *ledger, seg_place_of *place, int32_t n);

/* --- thinning.c and sums.c: what is kept of a series that grows --- */

bool seg_enter_instant(const seg_program *p, seg_ledger *ledger, seg_place_of *place, const seg_kept_series *s,
                       int64_t at_ms);
bool seg_enter_value(seg_ledger *ledger, seg_place_of *place, const seg_kept_series *s, int64_t at_ms, int64_t value);
bool seg_enter_extreme(seg_ledger *ledger, seg_place_of *place, const seg_kept_series *s, int64_t at_ms,
                       int64_t value);
/* Adds so many entries, whose newest is of an instant, and their sum to the bucket of their period. */
void seg_add_to_bucket(seg_ledger *ledger, seg_place_of *place, const seg_kept_series *s, int64_t at_ms,
                       uint32_t entries, int64_t sum_of_them);
bool seg_enter_observation(seg_ledger *ledger, seg_place_of *place, int64_t at_ms, uint64_t digest);

/* --- literals --- */

/* A customer at an instant; what was asked for already is kept. */
typedef struct seg_asked {
  const seg_program *program;
  const seg_subject *subject;
  int64_t now_ms;
  int64_t *entered_ms; /* by node, where silence is followed; else NULL */
  uint32_t known_figures;
  bool knows_traits, knows_id, knows_rhythm, has_rhythm;
  uint64_t id_hash;
  seg_own_rhythm rhythm;
  double figures[SEG_FIGURES];
  seg_held_series series[SEG_OWN_SERIES_MAX];
  seg_value traits[SEG_TRAIT_NAMES_MAX];
  int64_t observed_ms[SEG_TRAIT_NAMES_MAX];
} seg_asked;

void seg_ask(seg_asked *asked, const seg_program *program, const seg_subject *subject, int64_t now_ms);
void seg_ask_later(seg_asked *asked, int64_t now_ms);
/* Whether a literal holds, and a next instant before which silence does not turn it; SEG_NEVER. */
bool seg_holds(seg_asked *asked, const seg_literal *literal, int64_t *turns_ms);
/* What it counts or compares; NaN where that is no number. */
double seg_measure(seg_asked *asked, const seg_literal *literal);

bool seg_window_holds(seg_asked *asked, const seg_literal *literal, int64_t *turns_ms); /* windows.c */
double seg_window_measure(seg_asked *asked, const seg_literal *literal);
bool seg_figure_holds(seg_asked *asked, const seg_literal *literal, int64_t *turns_ms); /* figures.c */
double seg_figure(seg_asked *asked, int32_t figure, int32_t segmentation);
bool seg_decayed_holds(seg_asked *asked, const seg_literal *literal, int64_t *turns_ms);
double seg_decayed_at(const seg_asked *asked, const seg_literal *literal, int64_t at_ms);
seg_value seg_trait(seg_asked *asked, int32_t trait);

/* Evaluates the conditions of rule r, or all of them (r = -1), at the instant asked about. */
typedef struct seg_verdicts {
  uint8_t holds[SEG_LITERALS_MAX + SEG_NODES_MAX];
  int64_t turns_ms[SEG_LITERALS_MAX + SEG_NODES_MAX];
} seg_verdicts;
void seg_judge(seg_asked *asked, int32_t r, seg_verdicts *out);
/* Where rule r leads, and the instant before which silence leads nowhere else. */
int32_t seg_target_of_rule(const seg_program *p, int32_t r, const seg_verdicts *v, int64_t *due_ms);

/* --- form.c, indexing.c --- */

bool seg_form_is_valid(const seg_program *p);
bool seg_program_index(seg_program *p);

#endif
