/* Events of the past for conditions that are new.
 *
 * Theory. A condition looks at series of a customer's events, which begin when the first definition asks for them. Where
 * the log reaches back, its events are entered once more, but only into the series that are new: those of the table's
 * higher numbers, as numbers ascend with the first use. Nothing is decided here, and nothing else of a row changes; the
 * definitions assess everybody when they take over. A log that reaches back to the beginning may also be entered anew as a
 * whole: then what a row holds is replaced, which serves series that are to keep more than they did.
 *
 * Contract. The caller leaves out events that were delivered twice, as rows know the newest ids alone. Customers that the
 * table does not have are passed over.
 *
 * Bounds. Each event is entered in the time of a step's. Events lie within `texts`; this is checked. */
#include "segmenter.h"

#include <stdlib.h>
#include <string.h>

static bool lies_within(const seg_event *event, int64_t texts_size) {
  const uint64_t size = (uint64_t)event->customer_size + event->event_id_size + event->type_size + event->kept_size;
  const bool is_known = event->kind <= SEG_ENGAGEMENT || event->kind == SEG_PROFILE;
  return is_known && event->text_at + size <= (uint64_t)texts_size;
}

static int32_t refill(seg_table *table, const seg_program *program, const seg_event *event, const uint8_t *texts,
                      int32_t first_series, int64_t row, bool begins, seg_ledger *ledger) {
  const seg_bytes had = seg_table_ledger(table, row);
  if (had.size < 0 || had.size > SEG_LEDGER_MAX) return SEG_OUT_OF_RANGE;
  ledger->size = begins ? 0 : had.size;
  if (ledger->size) memcpy(ledger->data, had.data, (size_t)had.size);
  seg_program_refill(program, event, texts, first_series, ledger); /* without room the oldest entries have gone */
  return seg_table_put_ledger(table, row, (seg_bytes){ledger->data, ledger->size});
}

int32_t seg_backfill(seg_table *table, const seg_program *program, const seg_event *events, int64_t n,
                     const uint8_t *texts, int64_t texts_size, int32_t first_series, uint8_t *begun, int64_t *rows) {
  if (n < 0 || first_series < 0 || program == NULL) return SEG_OUT_OF_RANGE;
  int32_t status = seg_table_find_events(table, events, n, texts, texts_size, rows);
  seg_ledger *ledger = status == SEG_OK ? malloc(sizeof *ledger) : NULL;
  if (status == SEG_OK && ledger == NULL) status = SEG_NO_MEMORY;
  for (int64_t i = 0; status == SEG_OK && i < n; i++) {
    if (!lies_within(&events[i], texts_size)) status = SEG_OUT_OF_RANGE;
    if (status != SEG_OK || rows[i] < 0) continue;
    const bool begins = begun != NULL && !begun[rows[i]];
    if (begins) begun[rows[i]] = 1;
    status = refill(table, program, &events[i], texts, first_series, rows[i], begins, ledger);
  }
  free(ledger);
  return status;
}
