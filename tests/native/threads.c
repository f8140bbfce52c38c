/* Threads as Python has them while ctypes has given up its lock: each folds into a table of its own, and two scan by one
 * scanner. For ThreadSanitizer, which ends the process with 66 where two of them touch the same memory. */
#include <pthread.h>
#include <stdlib.h>

#include "../../native/segmenter.h"
#define XXH_INLINE_ALL
#include "../../native/vendor/xxhash.h"

#define ROOM 512
#define EVENTS 20000
#define SCANS 2000
#define DAY_MS INT64_C(86400000)

static const seg_field fields[] = {
    {.name = "event_id", .name_size = 8, .reads = SEG_READS_TEXT, .meaning = SEG_TEXT_EVENT_ID, .required = 1, .most = 256},
    {.name = "customer_id", .name_size = 11, .reads = SEG_READS_TEXT, .meaning = SEG_TEXT_CUSTOMER_ID, .required = 1,
     .most = 256},
    {.name = "occurred_at", .name_size = 11, .reads = SEG_READS_TIME, .required = 1},
    {.name = "type", .name_size = 4, .reads = SEG_READS_TYPE, .required = 1, .most = 64},
};
static const seg_scan_policy policy = {
    .max_payload_bytes = 65536, .max_depth = 32, .tolerance_ms = 300000, .kind = SEG_ENGAGEMENT, .absent_word = -1};
static const char payload[] =
    "{\"event_id\":\"v-1\",\"customer_id\":\"c-1\",\"occurred_at\":\"2025-03-02T00:00:00Z\",\"type\":\"page_viewed\"}";

static void must(int condition) {
  if (!condition) abort();
}

static void *fold(void *seed) {
  static const uint8_t name[8] = "customer";
  seg_table *table = seg_table_new();
  seg_columns columns = {.activity = calloc(ROOM, sizeof(seg_activity)), .due_at_ms = calloc(ROOM, sizeof(int64_t)),
                         .memberships = calloc(1, sizeof(seg_membership)), .outdated = calloc(1, 1),
                         .closed_at_ms = calloc(ROOM, sizeof(int64_t)), .rules_due_at_ms = calloc(ROOM, sizeof(int64_t)),
                         .rules_outdated = calloc(ROOM, 1), .capacity = ROOM};
  must(table && columns.activity && columns.due_at_ms && columns.memberships && columns.outdated);
  must(columns.closed_at_ms && columns.rules_due_at_ms && columns.rules_outdated);
  for (int64_t i = 0; i < EVENTS; i++) {
    const uint64_t mixed = ((uint64_t)i + *(const uint64_t *)seed) * UINT64_C(0x9E3779B97F4A7C15);
    const size_t size = 1 + mixed % 8;
    const int64_t row = seg_table_insert(table, &columns, name, size, XXH3_64bits(name, size));
    const seg_event event = {.at_ms = INT64_C(1700000000000) + i * (DAY_MS / 40), .amount_minor = (int64_t)(mixed >> 50),
                             .event_digest = mixed, .order_digest = mixed >> 40, .kind = (uint8_t)(mixed % 3)};
    uint8_t outcome;
    must(row >= 0 && seg_fold_all(table, &columns, 1, &row, &event, &outcome) == SEG_OK);
  }
  const seg_names no_names = {0};
  int64_t rows[8] = {0, 1, 2, 3, 4, 5, 6, 7}, sizes[8];
  must(seg_table_count(table) == 8 && seg_table_encode(table, &columns, &no_names, rows, 8, NULL, 0, sizes) > 0);
  seg_table_free(table);
  free(columns.activity);
  free(columns.due_at_ms);
  free(columns.memberships);
  free(columns.outdated);
  free(columns.closed_at_ms);
  free(columns.rules_due_at_ms);
  free(columns.rules_outdated);
  return NULL;
}

static void *scan(void *scanner) {
  const int64_t at = 0, size = sizeof payload - 1;
  for (int i = 0; i < SCANS; i++) {
    seg_event event;
    uint8_t texts[256];
    int64_t written;
    must(seg_scan(scanner, (const uint8_t *)payload, size, 1, &at, &size, NULL, NULL, INT64_C(1750000000000), &event,
                  texts, sizeof texts, &written) == SEG_OK);
    must(event.status == SEG_EVENT);
  }
  return NULL;
}

int main(void) {
  uint64_t seeds[2] = {1, 2};
  seg_scanner *scanner =
      seg_scanner_new(fields, sizeof fields / sizeof *fields, NULL, 0, NULL, 0, NULL, 0, NULL, 0, NULL, 0, &policy);
  must(scanner != NULL);
  pthread_t threads[4];
  for (int i = 0; i < 2; i++) {
    must(pthread_create(&threads[i], NULL, fold, &seeds[i]) == 0);
    must(pthread_create(&threads[2 + i], NULL, scan, scanner) == 0);
  }
  for (int i = 0; i < 4; i++) must(pthread_join(threads[i], NULL) == 0);
  seg_scanner_free(scanner);
  return 0;
}
