/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few words every file of muster uses: must(), OWN(), take(), container_of().
 *
 * must(x) states what we rely on (arguments, invariants, impossible branches) and stays on in
 * production: a broken invariant stops the process. Never must() something a peer, a file or an
 * operator can cause.
 *
 * Every owning local is declared OWN(x_free) or OWN_FD and initialised; ownership leaves it by
 * take(p).
 *
 * Allocation does not fail: xmalloc and friends end the process. Sizes that come from outside are
 * checked before.
 */
#ifndef MUSTER_COMMON_BASE_STD_H
#define MUSTER_COMMON_BASE_STD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#define ARRAY_SIZE(a)	       (sizeof(a) / sizeof((a)[0]))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define FALLTHROUGH __attribute__((fallthrough))
#define UNUSED		       __attribute__((unused))

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define must(x)                                              \
	do {                                                 \
		if (__builtin_expect(!(x), 0)) {             \
			must_failed(#x, __FILE__, __LINE__); \
		}                                            \
	} while (0)

_Noreturn void must_failed(const char *what, const char *file, int line);

/* Runs the destructor of an owning pointer at the end of its scope. */
#define OWN(free_function) __attribute__((cleanup(free_function##_own)))
#define DEFINE_OWN(type, free_function)                         \
	static inline UNUSED void free_function##_own(type **p) \
	{                                                       \
		if (*p) {                                       \
			free_function(*p);                      \
		}                                               \
	}

/* Runs x_fini(&x) on an embedded object at the end of its scope. */
#define OWN_EMBEDDED(fini_function) __attribute__((cleanup(fini_function)))

/* Moves ownership out of a pointer, which is left NULL. */
#define take(p)                             \
	({                                  \
		__typeof__(p) taken_ = (p); \
		(p) = NULL;                 \
		taken_;                     \
	})

static inline void free_own(void *p)
{
	free(*(void **)p);
}

/* A file descriptor that closes itself; take_fd() moves it out. */
#define OWN_FD __attribute__((cleanup(fd_close_own)))
void fd_close_own(int *fd);
static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);

#define min_of(a, b) ((a) < (b) ? (a) : (b))
#define max_of(a, b) ((a) > (b) ? (a) : (b))

#endif
