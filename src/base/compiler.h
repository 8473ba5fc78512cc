/* Compiler extensions, all behind names of our own: GNU attributes and clang's thread safety
 * annotations (https://clang.llvm.org/docs/ThreadSafetyAnalysis.html), which gcc does not see. */
#ifndef BASE_COMPILER_H
#define BASE_COMPILER_H

#define LIKELY(x)                 __builtin_expect(!!(x), 1)
#define UNLIKELY(x)               __builtin_expect(!!(x), 0)
#define FORMAT_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define CLEANUP(fn)               __attribute__((cleanup(fn)))
#define NORETURN                  __attribute__((noreturn))
#define COLD                      __attribute__((cold))
#define CONSTRUCTOR               __attribute__((constructor))
#define WARN_UNUSED               __attribute__((warn_unused_result))
#define CACHE_LINE                64
#define CACHE_ALIGNED             __attribute__((aligned(CACHE_LINE)))
#define ARRAY_LEN(a)              (sizeof(a) / sizeof((a)[0]))

#if defined(__clang__)
#define THREAD_ANNOTATION(x) __attribute__((x))
#else
#define THREAD_ANNOTATION(x)
#endif

/* A capability is a lock, or a role that a thread has (base/lock.h). */
#define CAPABILITY(name)          THREAD_ANNOTATION(capability(name))
#define REQUIRES(...)             THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
#define ACQUIRE(...)              THREAD_ANNOTATION(acquire_capability(__VA_ARGS__))
#define RELEASE(...)              THREAD_ANNOTATION(release_capability(__VA_ARGS__))
#define EXCLUDES(...)             THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))
#define ASSERT_CAPABILITY(...)    THREAD_ANNOTATION(assert_capability(__VA_ARGS__))
#define RETURN_CAPABILITY(x)      THREAD_ANNOTATION(lock_returned(x))
#define NO_THREAD_SAFETY_ANALYSIS THREAD_ANNOTATION(no_thread_safety_analysis)

/* Whether ThreadSanitizer watches this build: gcc says it with a macro, clang with a feature. */
#if defined(__SANITIZE_THREAD__)
#define SANITIZE_THREAD 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SANITIZE_THREAD 1
#endif
#endif
#ifndef SANITIZE_THREAD
#define SANITIZE_THREAD 0
#endif

/* A type of so many bytes of one number type, on which operators work element by element. */
#define VECTOR_OF_BYTES(n) __attribute__((vector_size(n)))

#endif
