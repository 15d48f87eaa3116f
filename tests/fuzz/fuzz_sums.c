/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot as another server sent it: taken apart or refused; what is taken apart is whole.
 */
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "catalogd/sums.h"
#include "common/base/err.h"

static char directory[] = "/dev/shm/muster-fuzz-sums-XXXXXX"; /* syncing costs nothing there */

static const char *path_of(const char *name)
{
	static char path[sizeof(directory) + 16];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

static void clean(void)
{
	unlink(path_of("stream"));
	unlink(path_of("sums"));
	unlink(path_of("data.mdb"));
	rmdir(directory);
}

static void stream_put(const uint8_t *data, size_t size)
{
	int fd = open(path_of("stream"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	must(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool made;
	int r;

	if (!made) {
		must(mkdtemp(directory));
		made = true;
		atexit(clean);
	}
	stream_put(data, size);
	r = sums_unpack(directory);
	must(r == 0 || r == ST_CORRUPT);
	if (r == 0) {
		r = sums_check(directory, 7, 2);
		must(r == 0 || r == ST_CORRUPT);
	}
	return 0;
}
