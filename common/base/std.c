/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocation that does not fail and invariants that end the process.
 */
#include "common/base/std.h"

#include <stdio.h>
#include <unistd.h>

void must_failed(const char *what, const char *file, int line)
{
	fprintf(stderr, "invariant broken: %s at %s:%d\n", what, file, line);
	fflush(stderr);
	abort();
}

static void *checked(void *p)
{
	if (!p) {
		fprintf(stderr, "out of memory\n");
		abort();
	}
	return p;
}

void *xmalloc(size_t size)
{
	return checked(malloc(size ? size : 1));
}

void *xcalloc(size_t count, size_t size)
{
	return checked(calloc(count ? count : 1, size ? size : 1));
}

void *xrealloc(void *p, size_t size)
{
	return checked(realloc(p, size ? size : 1));
}

char *xstrdup(const char *s)
{
	return checked(strdup(s));
}

char *xstrndup(const char *s, size_t n)
{
	return checked(strndup(s, n));
}

void fd_close_own(int *fd)
{
	if (*fd >= 0) {
		close(*fd);
	}
}
