/* What the parts of the outputs know of each other: growing texts, presentations, figures and sentences. */
#ifndef OUTPUTS_H
#define OUTPUTS_H

#include "segmenter.h"

#include <string.h>

/* --- outputs_text.c: texts that grow --- */

/* A text of bytes. Once memory has run out it is `failed`, and lacks what found no room: whoever has written it looks
 * once, at the end. */
typedef struct seg_text {
  uint8_t *data;
  size_t size, capacity;
  bool failed;
} seg_text;

/* Some bytes of somebody else's, and how many. */
typedef struct seg_span {
  const uint8_t *data;
  size_t size;
} seg_span;

void seg_text_free(seg_text *text);
/* Makes room for so many more bytes; false, and `failed`, if there is none. */
bool seg_text_grow(seg_text *text, size_t more);

static inline void seg_add(seg_text *text, const void *bytes, size_t size) {
  if (size > text->capacity - text->size && !seg_text_grow(text, size)) return;
  if (size) memcpy(text->data + text->size, bytes, size);
  text->size += size;
}
static inline void seg_add_span(seg_text *text, seg_span span) { seg_add(text, span.data, span.size); }
/* Adds a literal. */
#define SEG_ADD(text, literal) seg_add(text, "" literal, sizeof(literal) - 1)
/* Adds a constant string. */
static inline void seg_add_string(seg_text *text, const char *string) { seg_add(text, string, strlen(string)); }

/* Adds bytes of UTF-8 as the inside of a JSON string, as msgspec writes it. */
void seg_add_escaped(seg_text *text, seg_span span);
void seg_add_integer(seg_text *text, int64_t number);
/* Adds a number that is a whole multiple of 10^-digits, digits 0 to SEG_DIGITS_MAX, as msgspec writes floats. */
void seg_add_number(seg_text *text, double number, int32_t digits);
/* Adds a number without decimals, rounded to the nearest and of two such to the even one, as Python's `.0f`. */
void seg_add_whole(seg_text *text, double number);
/* Adds a number that is a whole multiple of 10^-digits with all its decimals, as Python's `.2f`. */
void seg_add_fixed(seg_text *text, double number, int32_t digits);
/* Adds an amount of minor units in major ones, likewise. */
void seg_add_amount(seg_text *text, int64_t minor, int32_t digits);
/* Adds an instant as RFC 3339 has it, in UTC with milliseconds. */
void seg_add_instant(seg_text *text, int64_t at_ms);

/* The nearest integer, of two such the even one, as numpy's rint and Python's round. */
double seg_nearest(double number);
/* As numpy's round; digits 0 to SEG_DIGITS_MAX. */
double seg_rounded(double number, int32_t digits);

/* --- outputs_presentation.c: what is told of a version of a segmentation --- */

/* How a condition is put: what its value counts, in the plural or empty, and what is true while it holds. */
typedef struct seg_phrase {
  seg_span counted, text;
} seg_phrase;

struct seg_presentation {
  seg_presentation_form form; /* its numbers; its pointers are the caller's and not used any more */
  seg_span texts[SEG_TEXTS];
  seg_span references[SEG_CODE_MAX + 1];  /* JSON, by code; no data for an unknown one */
  seg_span names[SEG_CODE_MAX + 1];       /* escaped, likewise */
  int16_t levels[SEG_CODE_MAX + 1];       /* SEG_NO_LEVEL where there is none */
  int16_t codes[SEG_TARGETS_MAX + 1];     /* by target; 0 behind the last, for SEG_NOWHERE */
  int16_t target_of_code[SEG_CODE_MAX + 1];
  seg_span statements[SEG_LEARNED_TARGETS];
  seg_phrase *conditions; /* [condition_count], of rules */
  seg_learned model;
  double squared_weights[3]; /* 0 where an axis does not count */
  uint8_t *bytes;            /* what the spans are of */
};

static inline int16_t seg_presented_code(const seg_presentation *p, int32_t target) {
  return p->codes[target < 0 ? p->form.target_count : target];
}

/* --- outputs_rules.c: why rules have moved a customer --- */

/* One move by rules. */
typedef struct seg_rules_case {
  const seg_move *move;
  const seg_event *event; /* NULL for none */
  seg_span type;          /* the event's */
  const seg_fact *facts;  /* [move->fact_count] */
  int16_t from_code, to_code;
} seg_rules_case;

/* Adds the explanation as JSON. */
void seg_add_rules_explanation(seg_text *text, const seg_presentation *p, const seg_rules_case *c);

/* --- outputs_figures.c: a customer's figures --- */

enum { SEG_ORDERS, SEG_ENGAGED, SEG_VALUE, SEG_AXES }; /* r, e and a, see learned.c */

/* Rounded, as they are told; what is not known is 0, and `has_` or `knows_` say so. */
typedef struct seg_figures {
  double recency_days, tenure_days, usual_gap_days, probability_active, order_recency_days, order_tenure_days;
  double order_interval_days, order_value, engagement_recency_days, engagement_interval_days;
  int64_t orders;
  bool has_ordered, has_engaged, knows_value;
} seg_figures;

seg_figures seg_figures_of(const seg_activity *activity, const seg_quantities *quantities,
                           const double axes[SEG_AXES], int64_t at_ms, const seg_told_frame *frame, int32_t digits);
void seg_add_figures(seg_text *text, const seg_figures *figures, int32_t digits);
/* An amount of minor units, as a number of major ones. */
void seg_add_major(seg_text *text, int64_t minor, int32_t digits);

/* --- outputs_case.c: on what a move was decided --- */

/* One move under a learned model. */
typedef struct seg_case {
  int32_t cause, origin, target; /* targets; the origin is below 0 for none of this model */
  int32_t axis;                  /* which decided, where one did */
  bool failed;                   /* whether the statement of the role that was left had become false */
  bool has_before, has_margin;
  double gaps, margin;           /* gaps known before; distance past the middle between two centres */
  seg_figures before, after;
} seg_case;

seg_case seg_case_of(const seg_presentation *p, const seg_move *move);

/* --- outputs_sentences.c: why, in words --- */

/* Adds what a customer did, as the opening of a sentence. */
void seg_add_event(seg_text *text, const seg_presentation *p, const seg_event *event, seg_span type, int32_t change);
/* Adds from where to where, as the end of a sentence. */
void seg_add_path(seg_text *text, const seg_presentation *p, int16_t from_code, int16_t to_code);
/* Adds the fact by which an act moved a customer, with a colon before it; nothing if there is none. */
void seg_add_facts_of_act(seg_text *text, const seg_presentation *p, const seg_case *c, int16_t from_code);
void seg_add_silence_grew(seg_text *text, const seg_presentation *p, const seg_case *c);
/* Adds what there is to say of a customer whom a version has moved. */
void seg_add_standing(seg_text *text, const seg_presentation *p, const seg_case *c);

/* --- outputs_parts.c: what records of several topics consist of --- */

#define SEG_ID_DIGITS 32
#define SEG_LAST_INSTANT_MS INT64_C(253402300799999) /* the end of the year 9999: RFC 3339 has no later instants */

/* Whom a record is about, and what the cause was. */
typedef struct seg_told {
  const seg_presentation *p;
  const seg_event *event; /* NULL for none */
  seg_span customer, source, event_id, type;
  seg_span other; /* of a merge: the other id */
  int64_t partition;
  int32_t cause;
  bool ends;      /* of a merge: the customer goes by the other id from then on */
} seg_told;

/* Takes a text; false if it leads out of what was handed over. */
bool seg_take_text(const seg_texts *texts, int64_t number, seg_span *out);
/* Takes the event that was the cause, if one was; false if there is one too many, or one of another kind, or a text leads
 * out of what was handed over. The cause is one of SEG_PURCHASE ... SEG_ERASURE. The customer has been taken. */
bool seg_take_event(const seg_description *d, int64_t number, seg_told *told);
void seg_add_reference(seg_text *text, const seg_presentation *p, int16_t code);
void seg_add_next_move(seg_text *text, const seg_presentation *p, int64_t at_ms, int32_t target);
void seg_add_cause(seg_text *text, const seg_told *told);
/* Adds SEG_ID_DIGITS hexadecimal digits, the same for the same record for ever, so that a repeated delivery is
 * recognised. Records of another sort than migrations name it. */
void seg_add_id(seg_text *text, seg_text *scratch, const seg_told *told, int32_t sequence, const char *sort);
/* Adds the customer's constant bucket, 0 to 99, the same in every segmentation and for ever, and whether it is held out. */
void seg_add_holdout(seg_text *text, seg_text *scratch, const seg_told *told);

/* --- outputs_describer.c: texts of many records --- */

struct seg_describer {
  seg_text records, memberships, keys, headers, scratch;
};

/* Where the texts of a describer end. */
typedef struct seg_ends {
  size_t records, memberships, keys, headers;
} seg_ends;

typedef struct seg_range {
  size_t at, size;
} seg_range;

/* What headers say of a record's sort. */
typedef struct seg_sort {
  const char *name, *change;
  size_t id_at;   /* where in the record its id stands */
  seg_range time; /* where among the records the instant stands that it is of */
} seg_sort;

/* Makes a describer as if it had written nothing. */
void seg_begin(seg_describer *describer);
bool seg_has_failed(const seg_describer *describer);
seg_ends seg_ends_of(const seg_describer *describer);
/* Ends a record that began at `begin`: adds its key and, if there is a source, its headers, and says where all stands.
 * False if a text is longer than anybody can say. */
bool seg_end_record(seg_describer *describer, const seg_told *told, const seg_sort *sort, const seg_texts *source,
                    const seg_ends *begin, seg_described *out);
/* Says where the texts are. */
void seg_hand_over(const seg_describer *describer, seg_description *d);

#endif
