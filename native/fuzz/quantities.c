/* Any numbers, as a damaged row may bring them, through the elementary functions and the quantities. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  seg_activity activity;
  int64_t at_ms;
  double numbers[2], out;
  for (size_t at = 0; at + sizeof numbers <= size; at += sizeof numbers) {
    memcpy(numbers, data + at, sizeof numbers);
    for (int32_t function = 0; function < 7; function++)
      MUST(seg_map(function, 1, &numbers[0], &numbers[1], &out) == SEG_OK);
  }
  if (size < sizeof activity + sizeof at_ms) return 0;
  memcpy(&activity, data, sizeof activity);
  memcpy(&at_ms, data + sizeof activity, sizeof at_ms);
  seg_quantities quantities;
  seg_ask_quantities(1, &activity, &at_ms, &quantities);
  return 0;
}
