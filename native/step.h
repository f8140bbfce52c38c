/* What the parts of a step know of each other: step.c (events, the end), passing.c (time, new versions), joining.c (two
 * ids are one customer's), barring.c (somebody is not to be known), moves.c (making moves, and their order). Nobody else looks in here. */
#ifndef SEGMENTER_STEP_H
#define SEGMENTER_STEP_H

#include "segmenter.h"

/* A customer that takes part in a step. */
typedef struct seg_part {
  int64_t row;
  seg_activity before; /* as it was before the step */
  int64_t pending;     /* number among the pending, -1 for none */
  bool has_events, has_moved;
} seg_part;

/* What a customer's membership said before the step. */
typedef struct seg_start {
  int64_t assessed_at_ms;
  int16_t segment;
} seg_start;

/* A customer whose events of one instant are being taken in. */
typedef struct seg_pending {
  int64_t part;
  int64_t at_ms;       /* the instant at which they count */
  int64_t event;       /* index of the last one that is not mere continuation of a session */
  int64_t act;         /* likewise of those that are the customer's own acts, -1 for none */
  int64_t merge;       /* index of the last one that says that the customer goes by two ids, -1 for none */
  int64_t ledger_at, traits_at; /* where in the snapshots its ledger and traits before the instant stand */
  int64_t ledger_size, traits_size;
  seg_activity before; /* likewise */
  bool is_known;       /* whether there was any before */
  bool acts;           /* whether one of them is the customer's own act */
  bool in_session;     /* whether all of these only continue a session */
  bool ends;           /* whether its customer leaves all segments: it goes by another id, or is barred */
  bool is_barred;      /* the latter: see barring.c */
  bool erases;         /* whether nothing remains of it */
  bool is_sudden;      /* whether rules have to be evaluated whatever was touched: the customer is new */
  seg_touched touched;
} seg_pending;

typedef struct seg_told {
  seg_move move;
  int64_t made; /* number in order of making */
} seg_told;

typedef struct seg_noticed {
  int64_t position, made;
  seg_notice notice;
} seg_noticed;

/* An order that is asked for, and the first of the rows that may hold it, -1 for none; see holders.c. */
typedef struct seg_wanted {
  uint64_t digest;
  int64_t first;
} seg_wanted;

typedef struct seg_holder {
  int64_t row, next; /* number of the next one, -1 for none */
} seg_holder;

struct seg_workspace {
  seg_told *told;
  seg_noticed *noticed;
  seg_notice *notices;
  seg_move *moves;
  seg_fact *facts;
  seg_part *parts;
  seg_start *starts;   /* of each part, m */
  int16_t *codes;      /* of each part, r: codes before the step */
  seg_pending *pending;
  uint8_t *snapshots;
  int64_t *rows;       /* of each event, the customer's row before the step; -1 for none */
  int64_t *changed;
  int64_t *customers;
  uint32_t *part_of;   /* by row: 1 + index of its part; 0 if it takes none */
  seg_due *dues;       /* m: of the customer at hand */
  int32_t *targets;    /* r, likewise */
  int16_t *found;      /* r, likewise: codes */
  seg_wanted *wanted;  /* in the order of their digests */
  seg_holder *holders;
  int64_t *owners;     /* of each unnamed record */
  int64_t *unwanted;   /* indices of events */
  int64_t unwanted_count, unwanted_room;
  int64_t wanted_count, wanted_room, holder_count, holders_room, owner_count, owners_room;
  int64_t noticed_count, noticed_room, notices_room;
  int64_t told_count, told_room, moves_room, fact_count, facts_room, part_count, parts_room, changed_room;
  int64_t customers_room, rows_room, starts_room, codes_room, event_rows_room, pending_count, pending_room;
  int64_t snapshots_size, snapshots_room, dues_room, targets_room, found_room;
  seg_ledger ledger;
  seg_traits traits;
};

/* What a step is about, handed from function to function. */
typedef struct seg_run {
  seg_workspace *work;
  seg_table *table;
  const seg_columns *columns;
  seg_step *step;
  seg_program_shape shape;
  int64_t swept_at_ms; /* before the step */
  int64_t sweeps;      /* how many have passed at the event at hand */
} seg_run;

/* Where and when something is told that is found at an event, or at the end. */
typedef struct seg_visit {
  int64_t decided_at_ms, position;
} seg_visit;

/* What happened to a customer at an instant. */
typedef struct seg_cause {
  int64_t at_ms, decided_at_ms, position, event;
  int32_t cause;
} seg_cause;

/* Makes room for `count` entries in a growable array. */
bool seg_reserve(void *array, int64_t *room, int64_t count, size_t size);

static inline int64_t seg_latest(int64_t one, int64_t other) { return one > other ? one : other; }
static inline int64_t seg_last_sweep_ms(const seg_run *run) {
  return run->sweeps > 0 ? run->step->sweep_at_ms[run->sweeps - 1] : run->swept_at_ms;
}
/* When it is decided what an event leads to. */
static inline int64_t seg_decided_at_ms(const seg_run *run) {
  return seg_latest(run->step->clock.watermark_ms, seg_last_sweep_ms(run));
}
static inline seg_visit seg_visit_of(const seg_run *run, int64_t event) {
  return (seg_visit){.decided_at_ms = seg_decided_at_ms(run), .position = event + run->sweeps};
}
static inline int64_t seg_before_ms(int64_t at_ms) { return at_ms == SEG_NO_TIME ? SEG_NO_TIME : at_ms - 1; }
static inline seg_membership *seg_membership_of(const seg_run *run, int64_t row, int64_t m) {
  return &run->columns->memberships[m * run->columns->capacity + row];
}
static inline seg_held seg_held_of(const seg_membership *m) {
  return (seg_held){.since_ms = m->since_ms, .segment = m->segment, .previous = m->previous, .kept = m->kept};
}
static inline int32_t seg_number_of(const seg_run *run, int64_t column) {
  return run->step->numbers ? run->step->numbers[column] : (int32_t)column;
}
/* Whether the customer has ever done anything: of others, only profiles are known. */
static inline bool seg_has_acted(const seg_activity *activity) { return activity->first_at_ms < SEG_NEVER; }

/* Whether nothing is known of a customer but returns of orders that nobody has stated, or it goes by another id: it is in
 * no segment. */
static inline bool seg_is_blank(const seg_run *run, int64_t row) {
  const seg_activity *activity = &run->columns->activity[row];
  if (activity->first_at_ms > SEG_NEVER) return true;
  return !seg_has_acted(activity) && run->columns->closed_at_ms[row] == SEG_NO_TIME;
}

/* Whether a record does not say whose order it takes back. */
static inline bool seg_is_unnamed(const seg_event *event) {
  return event->customer_size == 0 && event->kind == SEG_REFUND;
}

/* Finds who holds the orders that the step's unnamed records ask for, before its first event: see holders.c. */
int32_t seg_gather_holders(seg_run *run);
/* Notes that a row has folded an event, and so may hold its order. */
int32_t seg_note_holder(seg_run *run, const seg_event *event, int64_t row);
/* Notes that what one row may have held another one may hold now. */
int32_t seg_hand_over_orders(seg_run *run, int64_t from, int64_t into);
/* The one row that holds an order now; -1 if there is none, or there are several. */
int64_t seg_row_of_order(const seg_run *run, uint64_t digest);

/* A customer as rules see it now. */
seg_subject seg_subject_of(const seg_run *run, int64_t row, const seg_activity *activity);

/* Up to when the customer's moves have been told; whatever comes next is later. */
int64_t seg_closed_ms(const seg_run *run, int64_t row);

/* Lets time pass for a customer up to an instant, which is not included. `due_ms`: silence does not move it any further
 * before that. */
int32_t seg_pass_silence(seg_run *run, seg_part *part, int64_t until_ms, const seg_visit *visit, int64_t *due_ms);
/* Lets versions that have taken over assess a customer; says when the last of them did, SEG_NO_TIME for none. */
int32_t seg_catch_up(seg_run *run, seg_part *part, const seg_visit *visit, int64_t *revised_ms);
/* Whether a version has taken over under which the customer has not been assessed. */
bool seg_is_outdated(const seg_run *run, int64_t row);

/* Lets a customer be where it has moved to in a segmentation of the columns, and notes the move; `move` says all but what
 * follows from the membership. */
int32_t seg_make_move(seg_run *run, seg_part *part, int64_t m, seg_move *move);
/* Evaluates all rules at an instant, `before` being the customer as it was (NULL where nobody could know), and makes the
 * moves that come of it; `move` says what is common to them. */
int32_t seg_follow_rules(seg_run *run, seg_part *part, const seg_subject *before, const seg_subject *now,
                         const seg_move *common);
/* Says where in the stream a move that silence made is told, and when it counts as found. */
void seg_tell(const seg_run *run, const seg_visit *visit, int64_t found_ms, seg_move *move);
/* Tells what has to be told ahead of moves that time alone will make, see notices.c. */
int32_t seg_give_notices(seg_run *run, seg_part *part, const seg_cause *why);
/* The first instant after another one at which something has to be told if nothing happens. */
int64_t seg_next_notice_ms(const seg_run *run, int64_t row, int64_t after_ms);
/* Returns the number of the part that a row takes, making it if it has none yet; -1 if there is no memory. */
int64_t seg_take_part(seg_run *run, int64_t row, bool *is_first);
/* Finds whose an event is; a new customer gets a row, and what is nobody's none, -1. */
int64_t seg_find_row(seg_run *run, int64_t index, bool *is_new);
/* The row of an event's customer, -1 if there is none yet. */
int64_t seg_known_row(const seg_run *run, int64_t index);
/* The open instant of a customer; where there is none, lets time pass up to its first event of a run, and keeps how it
 * stood before. NULL if that fails. */
seg_pending *seg_open_instant(seg_run *run, int64_t part, int64_t at_ms, bool is_first, const seg_visit *visit,
                              int32_t *status);
/* What is common to the moves that an event makes at the customer's instant. */
seg_move seg_own_move(const seg_run *run, const seg_pending *pending, int64_t event, int64_t row);
/* Asks what the events of an instant have led to, unless that has been asked: it is not its customer's open one then. */
int32_t seg_end_instant(seg_run *run, int64_t number);
/* Takes in that two ids are one customer's; and lets the one that ends leave all segments. See joining.c. */
int32_t seg_take_merge(seg_run *run, int64_t index);
int32_t seg_leave_all(seg_run *run, seg_part *part, const seg_pending *pending);

/* Who is not to be known; see barring.c. Takes in a statement on consent; or that a customer is to be forgotten. */
int32_t seg_take_consent(seg_run *run, int64_t index);
int32_t seg_take_erasure(seg_run *run, int64_t index);
/* Whether an event is not to be folded, as its customer is not to be known, or was not by then. */
bool seg_is_unwanted(const seg_run *run, const seg_event *event, int64_t row);
/* Deletes what was folded of a customer whose instant is open, and has it leave all segments at its end. */
int32_t seg_bar(seg_run *run, seg_pending *pending, int64_t index, bool erases);
/* Bars a customer whose statements say so; lets one begin anew that was barred. */
int32_t seg_follow_statements(seg_run *run, seg_pending *pending, int64_t index, bool was_barred);
/* What is left of memberships once a barred customer has left them. */
void seg_settle_bar(seg_run *run, const seg_part *part, const seg_pending *pending);
/* Asks what an open instant has led to at whose end its customer would leave: it is somebody again. */
int32_t seg_begin_again(seg_run *run, seg_part *part);
/* What moves tell of the customer's consents, as seg_move has it. */
uint16_t seg_consents_of(const seg_run *run, int64_t row);
/* Notes a move that was made. */
int32_t seg_note_move(seg_run *run, seg_part *part, seg_move *move);
/* Hands moves and notices over in the order of the stream. */
int32_t seg_order_moves(seg_run *run);

#endif
