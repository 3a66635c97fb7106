/* The mathematical library, loaded when the first of its functions is called, in builds that have Lua within them
 * (PERIGEE_STATIC_LUA): Lua has names for all of them, and few programs a use. It is compiled without link-time
 * optimization, which takes these for functions of the compiler's own. */
#ifdef PERIGEE_LAZY_LIBM
#include "base/lazy.h"
#include <math.h>

LAZY_LIBRARY(libm, "libm.so.6", "arithmetic");
#define OF_ONE(name) LAZY(libm, double, name, (double x), (x))
#define OF_TWO(name) LAZY(libm, double, name, (double x, double y), (x, y))

OF_ONE(acos)
OF_ONE(asin)
OF_ONE(cbrt)
OF_ONE(ceil)
OF_ONE(cos)
OF_ONE(cosh)
OF_ONE(exp)
OF_ONE(exp2)
OF_ONE(floor)
OF_ONE(log)
OF_ONE(log10)
OF_ONE(log2)
OF_ONE(nearbyint)
OF_ONE(rint)
OF_ONE(round)
OF_ONE(sin)
OF_ONE(sinh)
OF_ONE(sqrt)
OF_ONE(tan)
OF_ONE(tanh)
OF_ONE(trunc)
OF_TWO(atan2)
OF_TWO(fmax)
OF_TWO(fmin)
OF_TWO(fmod)
OF_TWO(pow)
LAZY(libm, long, lrint, (double x), (x))
LAZY(libm, long, lround, (double x), (x))
LAZY(libm, long long, llround, (double x), (x))
#endif
