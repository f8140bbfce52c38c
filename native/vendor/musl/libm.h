/*
 * Reduced from musl's src/internal/libm.h to what exp, exp2, log, log2, pow, log1p and expm1 use, and set so that a
 * result has the same bits on every processor: without fused multiply-add, without excess precision, without exceptions,
 * without errno and without a libm.
 */
#ifndef _LIBM_H
#define _LIBM_H

#include <stdint.h>
#include <float.h>

#if FLT_EVAL_METHOD != 0
#error "doubles must be evaluated as doubles: on 32-bit x86, use SSE2"
#endif
#ifdef __FAST_MATH__
#error "-ffast-math reorders sums, so that results differ"
#endif

/* The library's own, see segmenter.h. */
#define exp seg_exp
#define exp2 seg_exp2
#define log seg_log
#define log2 seg_log2
#define pow seg_pow
#define log1p seg_log1p
#define expm1 seg_expm1
#define __exp_data seg_exp_data
#define __log_data seg_log_data
#define __log2_data seg_log2_data
#define __pow_log_data seg_pow_log_data
#define __math_oflow seg_math_oflow
#define __math_uflow seg_math_uflow
#define __math_divzero seg_math_divzero
#define __math_invalid seg_math_invalid

/* In place of math.h. */
#undef INFINITY /* some compilers' float.h defines it */
#define INFINITY __builtin_inf()
#define fabs __builtin_fabs
#define isnan(x) __builtin_isnan(x)

#define hidden __attribute__((__visibility__("hidden")))

hidden double exp(double);
hidden double exp2(double);
hidden double log(double);
hidden double log2(double);
hidden double pow(double, double);
hidden double log1p(double);
hidden double expm1(double);

/* Support non-nearest rounding mode.  */
#define WANT_ROUNDING 1

/* Helps static branch prediction so hot path can be better optimized.  */
#define predict_false(x) __builtin_expect(x, 0)

/* Evaluate an expression as the specified type. With standard excess
   precision handling a type cast or assignment is enough (with
   -ffloat-store an assignment is required, in old compilers argument
   passing and return statement may not drop excess precision).  */

static inline double eval_as_double(double x)
{
	double y = x;
	return y;
}

#define asuint64(f) ((union{double _f; uint64_t _i;}){f})._i
#define asdouble(i) ((union{uint64_t _i; double _f;}){i})._f

/* Whether x is a NaN whose first bit after the exponent is clear; musl has no support of such NaNs. */
static inline int issignaling_inline(double x)
{
	return isnan(x) && !(asuint64(x) >> 51 & 1);
}

/* error handling functions: musl computes the values, to raise exceptions */
static inline double __math_oflow(uint32_t sign)
{
	return sign ? -INFINITY : INFINITY;
}

static inline double __math_uflow(uint32_t sign)
{
	return sign ? -0.0 : 0.0;
}

static inline double __math_divzero(uint32_t sign)
{
	return sign ? -INFINITY : INFINITY;
}

/* One and the same NaN: that of 0 / 0 has another sign on ARM than on x86, and the compiler chooses which of two
   operands an addition takes it from. */
static inline double __math_invalid(double x)
{
	(void)x;
	return asdouble(0x7ff8000000000000);
}

#endif
