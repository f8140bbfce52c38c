/* Runs a target over files, and over mutants of them: `target [-mutants=N] FILE...`. Not a fuzzer (nothing guides it): a
 * quick look by any compiler, the same in every run. */
#include "fuzz.h"

#include <stdio.h>

#define LARGEST ((size_t)1 << 20)

static uint64_t state;

static uint64_t draw(uint64_t below) { /* splitmix64 */
  uint64_t z = state += UINT64_C(0x9E3779B97F4A7C15);
  z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
  return (z ^ (z >> 31)) % below;
}

static void run(const uint8_t *data, size_t size) {
  uint8_t *copy = exact_copy(data, size);
  LLVMFuzzerTestOneInput(copy, size);
  free(copy);
}

/* Changes, removes, repeats or cuts a few bytes; returns the new size, at most 2 * LARGEST. */
static size_t mutate(uint8_t *data, size_t size) {
  static const uint8_t telling[] = {0, 1, 0x7F, 0x80, 0xFF, '"', '\\', '{', '}', '[', ',', ':', '0', '9', '-', 'e', '\n'};
  for (uint64_t change = draw(4) + 1; change > 0 && size > 0; change--) {
    const size_t at = (size_t)draw(size), length = 1 + (size_t)draw(8);
    switch (draw(6)) {
      case 0: data[at] ^= (uint8_t)(1u << draw(8)); break;
      case 1: data[at] = telling[draw(sizeof telling)]; break;
      case 2: data[at] = (uint8_t)draw(256); break;
      case 3: size = at; break;
      case 4: /* remove */
        if (at + length <= size) {
          memmove(data + at, data + at + length, size - at - length);
          size -= length;
        }
        break;
      default: /* repeat */
        if (at + length <= size && size + length <= 2 * LARGEST) {
          memmove(data + at + length, data + at, size - at);
          size += length;
        }
    }
  }
  return size;
}

int main(int count, char **arguments) {
  uint8_t *data = malloc(LARGEST), *mutant = malloc(2 * LARGEST);
  long mutants = 0;
  MUST(data != NULL && mutant != NULL);
  for (int i = 1; i < count; i++) {
    if (strncmp(arguments[i], "-mutants=", 9) == 0) {
      mutants = strtol(arguments[i] + 9, NULL, 10);
      continue;
    }
    FILE *file = fopen(arguments[i], "rb");
    if (file == NULL) {
      perror(arguments[i]);
      return 2;
    }
    const size_t size = fread(data, 1, LARGEST, file);
    fclose(file);
    run(data, size);
    state = size;
    for (long m = 0; m < mutants; m++) {
      memcpy(mutant, data, size);
      run(mutant, mutate(mutant, size));
    }
  }
  free(data);
  free(mutant);
  return 0;
}
