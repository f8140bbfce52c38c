/* Payloads, one a line, through a scanner that reads fields in every way there is. */
#include "fuzz.h"

#define FIELD(text, how, what, must, limit) \
  {.name = text, .name_size = sizeof text - 1, .reads = how, .meaning = what, .required = must, .most = limit}
#define WORD(word, meant) {.text = word, .size = sizeof word - 1, .kind = meant}

static const seg_field fields[] = {
    FIELD("event_id", SEG_READS_TEXT, SEG_TEXT_EVENT_ID, 1, 256),
    FIELD("customer_id", SEG_READS_TEXT, SEG_TEXT_CUSTOMER_ID, 1, 256),
    FIELD("order_id", SEG_READS_TEXT, SEG_TEXT_ORDER_ID, 0, 256),
    FIELD("occurred_at", SEG_READS_TIME, SEG_TEXT_OTHER, 1, 0),
    FIELD("type", SEG_READS_WORD, SEG_TEXT_OTHER, 0, 0),
    FIELD("currency", SEG_READS_CURRENCY, SEG_TEXT_OTHER, 1, 0),
    FIELD("amount", SEG_READS_AMOUNT, SEG_TEXT_OTHER, 1, 0),
    FIELD("items", SEG_READS_COUNT, SEG_TEXT_OTHER, 0, 1000000),
    FIELD("score", SEG_READS_NUMBER, SEG_TEXT_OTHER, 0, 12),
    FIELD("tags", SEG_READS_TEXTS, SEG_TEXT_OTHER, 0, 16),
    FIELD("properties", SEG_READS_OBJECT, SEG_TEXT_OTHER, 0, 0),
};
static const seg_field sessions[] = {
    FIELD("event_id", SEG_READS_TEXT, SEG_TEXT_EVENT_ID, 1, 256),
    FIELD("customer_id", SEG_READS_TEXT, SEG_TEXT_CUSTOMER_ID, 1, 256),
    FIELD("occurred_at", SEG_READS_TIME, SEG_TEXT_OTHER, 1, 0),
    FIELD("type", SEG_READS_TYPE, SEG_TEXT_OTHER, 1, 128),
};
static const seg_word words[] = {WORD("order_completed", SEG_PURCHASE), WORD("order_updated", SEG_PURCHASE),
                                 WORD("order_refunded", SEG_REFUND), WORD("order_cancelled", SEG_CANCELLATION)};
static const seg_word nobody[] = {WORD("guest", 0), WORD("-1", 0), WORD("\xc3\xbc", 0)};
static const seg_currency currencies[] = {
    {.code = "EUR", .minor_digits = 2, .limit_minor = 1000000000000, .numerator = 1, .denominator = 1},
    {.code = "JPY", .minor_digits = 0, .limit_minor = 1000000000000, .numerator = 617, .denominator = 1000},
    {.code = "KWD", .minor_digits = 3, .limit_minor = INT64_MAX, .numerator = 300, .denominator = 1000},
};
static const seg_scan_policy purchases = {
    .max_payload_bytes = 65536, .max_depth = 32, .tolerance_ms = 300000, .kind = SEG_PURCHASE, .absent_word = 0};
static const seg_scan_policy engagements = {
    .max_payload_bytes = 65536, .max_depth = 32, .tolerance_ms = 300000, .kind = SEG_ENGAGEMENT, .absent_word = -1};

static const seg_field observed[] = {
    FIELD("event_id", SEG_READS_TEXT, SEG_TEXT_EVENT_ID, 0, 256),
    FIELD("customer_id", SEG_READS_TEXT, SEG_TEXT_CUSTOMER_ID, 1, 256),
    FIELD("occurred_at", SEG_READS_TIME, SEG_TEXT_OTHER, 1, 0),
    FIELD("properties", SEG_READS_TRAITS, SEG_TEXT_OTHER, 1, 1024),
};
static const seg_word said[] = {WORD("profile", SEG_PROFILE)};
#define TRAIT(text, allowed) {.name = text, .size = sizeof text - 1, .kinds = allowed}
static const seg_listed_trait traits[] = {
    TRAIT("a", 1 << SEG_FIELD_NUMBER | 1 << SEG_FIELD_TEXT),
    TRAIT("c", 1 << SEG_FIELD_TEXT | SEG_TRAIT_DATE),
    TRAIT("b", 1 << SEG_FIELD_TEXTS | 1 << SEG_FIELD_TRUE | 1 << SEG_FIELD_FALSE),
};
static const seg_scan_policy states = {
    .max_payload_bytes = 65536, .max_depth = 32, .tolerance_ms = 300000, .kind = SEG_PROFILE, .absent_word = 0};

#define PATH(name, number) {.text = name, .size = sizeof name - 1, .field = number}

static const seg_kept_path paths[] = {
    PATH("type", 4),           PATH("items", 7),          PATH("score", 8),           PATH("tags", 9),
    PATH("properties.a", 10),  PATH("properties.a.b", 10), PATH("properties.c.d", 10), PATH("order_id", 2),
};

#define NOW_MS INT64_C(1750000000000)
#define LINES 64

static void check(const seg_event *events, int64_t n, int64_t texts_size) {
  for (int64_t i = 0; i < n; i++) {
    if (events[i].status != SEG_EVENT) continue;
    MUST(events[i].amount_minor >= 0);
    MUST(events[i].at_ms >= 0 && events[i].at_ms <= NOW_MS + 300000);
    MUST((int64_t)events[i].text_at + events[i].customer_size + events[i].event_id_size + events[i].type_size +
             events[i].kept_size <=
         texts_size);
  }
}

static void scan(const seg_scanner *scanner, const uint8_t *data, size_t size) {
  int64_t at[LINES], sizes[LINES], keys_at[LINES], key_sizes[LINES], written = 0;
  seg_event events[LINES];
  const int64_t n = seg_split_lines(data, (int64_t)size, at, sizes, LINES);
  if (n < 0) return;
  for (int64_t i = 0; i < n; i++) { /* each line is also the key of another */
    keys_at[i] = at[n - 1 - i];
    key_sizes[i] = i % 3 ? sizes[n - 1 - i] : -1;
  }
  const size_t room = 4 * size + LINES * 1024; /* what is kept may be longer than a record */
  uint8_t *texts = malloc(room);
  MUST(texts != NULL);
  int32_t status = seg_scan(scanner, data, (int64_t)size, n, at, sizes, NULL, NULL, NOW_MS, events, texts,
                            (int64_t)room, &written);
  if (status == SEG_OK) check(events, n, written);
  MUST(written <= (int64_t)room);
  status = seg_scan(scanner, data, (int64_t)size, n, at, sizes, keys_at, key_sizes, NOW_MS, events, texts,
                    (int64_t)size / 2, &written);
  if (status == SEG_OK) check(events, n, written);
  free(texts);
  for (int64_t i = 0; i < n; i++) { /* alone, so that nothing lies behind it */
    const int64_t start = 0;
    uint8_t *line = exact_copy(data + at[i], (size_t)sizes[i]), text[4096];
    seg_scan(scanner, line, sizes[i], 1, &start, &sizes[i], NULL, NULL, NOW_MS, events, text, sizeof text, &written);
    free(line);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  seg_scanner *orders = seg_scanner_new(fields, sizeof fields / sizeof *fields, words, sizeof words / sizeof *words,
                                        currencies, sizeof currencies / sizeof *currencies, paths,
                                        sizeof paths / sizeof *paths, NULL, 0, nobody, sizeof nobody / sizeof *nobody,
                                        &purchases);
  seg_scanner *visits = seg_scanner_new(sessions, sizeof sessions / sizeof *sessions, NULL, 0, NULL, 0, NULL, 0,
                                        NULL, 0, NULL, 0, &engagements);
  seg_scanner *profiles = seg_scanner_new(observed, sizeof observed / sizeof *observed, said, 1, NULL, 0, NULL, 0,
                                          traits, sizeof traits / sizeof *traits, nobody, 1, &states);
  MUST(orders != NULL && visits != NULL && profiles != NULL);
  scan(orders, data, size);
  scan(visits, data, size);
  scan(profiles, data, size);
  seg_scanner_free(orders);
  seg_scanner_free(visits);
  seg_scanner_free(profiles);
  return 0;
}
