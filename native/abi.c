/* What tells a build of the library from another: its version, and the sizes of what it shares with Python. */
#include "segmenter.h"

#include <string.h>

int32_t seg_abi(void) { return SEG_ABI; }

#define SIZED(structure) {#structure, sizeof(structure)}

int64_t seg_size_of(const char *structure) {
  static const struct {
    const char *name;
    int64_t size;
  } known[] = {
      SIZED(seg_event),         SIZED(seg_activity),    SIZED(seg_membership), SIZED(seg_move),
      SIZED(seg_quantities),    SIZED(seg_held),        SIZED(seg_decision),   SIZED(seg_due),
      SIZED(seg_columns),       SIZED(seg_clock),       SIZED(seg_step),       SIZED(seg_field),
      SIZED(seg_word),          SIZED(seg_currency),    SIZED(seg_scan_policy), SIZED(seg_kept_path), SIZED(seg_listed_trait), SIZED(seg_memory),
      SIZED(seg_refusal),       SIZED(seg_parts),       SIZED(seg_described),   SIZED(seg_presentation_form), SIZED(seg_description),
      SIZED(seg_names),         SIZED(seg_bytes),       SIZED(seg_place),      SIZED(seg_fact),
      SIZED(seg_notice),        SIZED(seg_warning),
      SIZED(seg_own_rhythm),    SIZED(seg_silences),    SIZED(seg_learned),     SIZED(seg_batch),
  };
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (strcmp(known[i].name, structure) == 0) return known[i].size;
  }
  return 0;
}
