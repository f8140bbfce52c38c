/* The few elementary functions that results depend on: the same bits on every processor, libc and compiler.
 *
 * Theory. libm promises no bits: glibc picks another exp for processors with fused multiply-add, musl and macOS have
 * their own, numpy one more for AVX-512; they differ in the last place. What ends up in rows and moves would then depend
 * on where a worker ran. So the functions are the library's own, in vendor/ (see its README), as musl has them: Arm's
 * exp, exp2, log, log2 and pow (which glibc and Android have, too), FreeBSD's log1p and expm1. They are made of additions,
 * multiplications, divisions and tables alone, which IEEE 754 defines to the last bit as long as nothing is contracted
 * or reordered: hence -ffp-contract=off and never -ffast-math (vendor/musl/libm.h refuses to be compiled so).
 *
 * Contract. seg_exp, seg_exp2, seg_log, seg_log2 and seg_pow are wrong by at most .55 of a unit in the last place,
 * seg_log1p and seg_expm1 by less than 1. Infinities, zeros and subnormals are as C11's annex F has them. What has no
 * value is one and the same NaN, 0x7ff8000000000000. Rounding is to nearest, errno is not set, flags are nobody's.
 *
 * Bounds. Any 64 bits are taken; tables are indexed by masked bits of the argument.
 */
#include "segmenter.h"

int32_t seg_map(int32_t function, int64_t n, const double *x, const double *y, double *out) {
  static double (*const functions[])(double) = {seg_exp, seg_exp2, seg_log, seg_log2, seg_log1p, seg_expm1};
  const int32_t known = (int32_t)(sizeof functions / sizeof *functions);
  if (function < 0 || function > known) return SEG_OUT_OF_RANGE;
  for (int64_t i = 0; i < n; i++) out[i] = function == known ? seg_pow(x[i], y[i]) : functions[function](x[i]);
  return SEG_OK;
}
