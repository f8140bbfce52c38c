/* Encoded rows, as a changelog brings them: [size of the key][size of the value, little-endian, 2 bytes][key][value]
 * ... Each value is also taken for traits that a profile says.
 *
 * What is taken in must come out again: encoded, restored into another table and encoded there, it is the same. */
#include "fuzz.h"

#define ROOM 64
#define SEGMENTATIONS 2
#define RULED 3

typedef struct customers {
  seg_table *table;
  seg_columns columns;
} customers;

static const uint64_t digests[SEGMENTATIONS + RULED] = {
    UINT64_C(0x1111111111111111), UINT64_C(0x2222222222222222), UINT64_C(0x3333333333333333),
    UINT64_C(0x4444444444444444), UINT64_C(0x5555555555555555)};
static const int32_t since_of[RULED] = {1, -1, 0};
static const seg_names names = {digests, digests + SEGMENTATIONS, since_of};

static void *column(size_t rows, size_t size) {
  void *made = calloc(rows * ROOM, size);
  MUST(made != NULL);
  return made;
}

static customers new_customers(void) {
  customers made = {.table = seg_table_new(),
                    .columns = {.capacity = ROOM, .segmentations = SEGMENTATIONS, .ruled = RULED}};
  MUST(made.table != NULL);
  made.columns.since = 2;
  made.columns.words = 1;
  made.columns.activity = column(1, sizeof(seg_activity));
  made.columns.memberships = column(SEGMENTATIONS, sizeof(seg_membership));
  made.columns.due_at_ms = column(1, sizeof(int64_t));
  made.columns.outdated = column(SEGMENTATIONS, 1);
  made.columns.closed_at_ms = column(1, sizeof(int64_t));
  made.columns.places = column(RULED, sizeof(seg_place));
  made.columns.since_ms = column(2, sizeof(int64_t));
  made.columns.rules_due_at_ms = column(1, sizeof(int64_t));
  made.columns.bits = column(1, sizeof(uint64_t));
  made.columns.rules_outdated = column(1, 1);
  return made;
}

static void free_customers(customers *c) {
  seg_table_free(c->table);
  free(c->columns.activity);
  free(c->columns.memberships);
  free(c->columns.due_at_ms);
  free(c->columns.outdated);
  free(c->columns.closed_at_ms);
  free(c->columns.places);
  free(c->columns.since_ms);
  free(c->columns.rules_due_at_ms);
  free(c->columns.bits);
  free(c->columns.rules_outdated);
}

/* All rows, encoded; the caller frees them. */
static uint8_t *encode(customers *c, int64_t *sizes, int64_t *total) {
  int64_t rows[ROOM];
  const int64_t n = seg_table_count(c->table);
  for (int64_t i = 0; i < n; i++) rows[i] = i;
  const int64_t room = seg_table_encode(c->table, &c->columns, &names, rows, n, NULL, 0, sizes);
  MUST(room >= 0);
  uint8_t *out = malloc((size_t)room + 1);
  MUST(out != NULL);
  *total = seg_table_encode(c->table, &c->columns, &names, rows, n, out, room, sizes);
  MUST(*total >= 0 && *total <= room);
  return out;
}

static void come_back(customers *first) {
  const int64_t n = seg_table_count(first->table);
  int64_t sizes[ROOM], again_sizes[ROOM], key_sizes[ROOM], rows[ROOM], total, again_total;
  uint8_t *encoded = encode(first, sizes, &total), *keys = malloc(ROOM * 256);
  MUST(keys != NULL);
  for (int64_t i = 0; i < n; i++) rows[i] = i;
  const int64_t keys_size = seg_table_ids(first->table, rows, n, keys, ROOM * 256, key_sizes);
  MUST(keys_size >= 0);
  customers second = new_customers();
  seg_refusal refusal;
  int64_t key_at[ROOM], value_at[ROOM];
  for (int64_t i = 0, key = 0, value = 0; i < n; key += key_sizes[i], value += sizes[i], i++) {
    key_at[i] = key;
    value_at[i] = value;
  }
  const seg_parts ids = {keys, keys_size, key_at, key_sizes}, encodings = {encoded, total, value_at, sizes};
  MUST(seg_table_restore(second.table, &second.columns, &names, n, &ids, &encodings, &refusal) == SEG_OK);
  uint8_t *again = encode(&second, again_sizes, &again_total);
  MUST(again_total == total && memcmp(again, encoded, (size_t)total) == 0);
  free(again);
  free_customers(&second);
  free(encoded);
  free(keys);
}

static void forget_one(customers *c) {
  if (seg_table_count(c->table) == 0) return;
  int64_t row = 0, size;
  uint8_t id[256];
  uint64_t hash;
  MUST(seg_table_ids(c->table, &row, 1, id, sizeof id, &size) >= 0);
  seg_table_hashes(c->table, 0, 1, &hash);
  MUST(seg_table_find(c->table, id, (size_t)size, hash) == 0);
  MUST(seg_table_remove(c->table, &c->columns, id, (size_t)size, hash) >= 0);
}

/* What are no traits is refused and changes none. */
static void take_traits(customers *c, seg_bytes kept) {
  const int64_t row = seg_table_count(c->table) - 1, observed_ms = kept.size;
  uint8_t changed = 0;
  if (row < 0) return;
  const int64_t before = seg_table_traits(c->table, row).size;
  const int32_t status = seg_table_take_traits(c->table, 1, &row, &kept, &observed_ms, &changed);
  MUST(status == SEG_OK || status == SEG_OUT_OF_RANGE);
  MUST(seg_traits_are_whole(seg_table_traits(c->table, row)));
  MUST(status == SEG_OK || seg_table_traits(c->table, row).size == before);
  uint8_t counts[512];
  MUST(seg_table_count_traits(c->table, counts, sizeof counts) >= 0);
}

/* Two customers are one: whatever rows say, the one is whole afterwards, and nothing is left of the other. */
static void merge_two(customers *c) {
  const int64_t last = seg_table_count(c->table) - 1;
  if (last < 1) return;
  MUST(seg_table_merge(c->table, &c->columns, NULL, last - 1, last) == SEG_OK);
  MUST(seg_traits_are_whole(seg_table_traits(c->table, last - 1)));
  MUST(seg_table_traits(c->table, last).size == 0 && seg_table_ledger(c->table, last).size == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  customers all = new_customers();
  size_t at = 0;
  for (int rows = 0; at + 3 <= size && rows < ROOM; rows++) {
    const int64_t key_size = data[at], value_size = data[at + 1] | data[at + 2] << 8;
    at += 3;
    if ((size_t)(key_size + value_size) > size - at) break;
    uint8_t *key = exact_copy(data + at, (size_t)key_size);
    uint8_t *value = exact_copy(data + at + key_size, (size_t)value_size);
    at += (size_t)(key_size + value_size);
    seg_refusal refusal;
    const int64_t before = seg_table_count(all.table);
    const int64_t start = 0;
    const seg_parts id = {key, key_size, &start, &key_size}, encoding = {value, value_size, &start, &value_size};
    const int32_t status = seg_table_restore(all.table, &all.columns, &names, 1, &id, &encoding, &refusal);
    MUST(status == SEG_OK || seg_table_count(all.table) == before);
    if (status == SEG_OK) take_traits(&all, (seg_bytes){value, value_size});
    if (rows % 4 == 3) merge_two(&all);
    if (rows % 5 == 4) forget_one(&all);
    free(key);
    free(value);
  }
  come_back(&all);
  free_customers(&all);
  return 0;
}
