/* What the targets share. A target is one file that defines LLVMFuzzerTestOneInput, as libFuzzer and AFL++ call it; with
 * driver.c it is a program that reads files, for any compiler. Every input lies in memory of exactly its own size, so
 * that AddressSanitizer sees a read of the byte behind it. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../segmenter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the process where a promise is broken: every fuzzer takes that for a finding. */
#define MUST(condition) \
  do { \
    if (!(condition)) abort(); \
  } while (0)

/* A copy that ends where its memory does. */
static inline uint8_t *exact_copy(const uint8_t *data, size_t size) {
  uint8_t *copy = malloc(size ? size : 1);
  MUST(copy != NULL);
  if (size) memcpy(copy, data, size);
  return copy;
}

#endif
