/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clocks, kernel randomness, boot id.
 */
#include "common/sys/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "common/base/err.h"

struct mono clock_mono(void)
{
	struct timespec ts;

	must(clock_gettime(CLOCK_BOOTTIME, &ts) == 0);
	return (struct mono) { ts.tv_sec * NS_PER_S + ts.tv_nsec };
}

struct wall clock_wall(void)
{
	struct timespec ts;

	must(clock_gettime(CLOCK_REALTIME, &ts) == 0);
	return (struct wall) { ts.tv_sec * NS_PER_S + ts.tv_nsec };
}

void random_bytes(void *out, size_t n)
{
	char *p = out;

	while (n) {
		ssize_t got = getrandom(p, n, 0);

		if (got < 0) {
			must(errno == EINTR);
			continue;
		}
		p += got;
		n -= (size_t)got;
	}
}

uint64_t random_u64(void)
{
	uint64_t v;

	random_bytes(&v, sizeof(v));
	return v;
}

struct uuid random_uuid(void)
{
	uint8_t bytes[16];
	struct uuid u;

	random_bytes(bytes, sizeof(bytes));
	uuid_from_random(bytes, &u);
	return u;
}

int boot_id_read(char out[UUID_TEXT_SIZE + 1])
{
	static const char path[] = "/proc/sys/kernel/random/boot_id";
	OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		return err_errno("open %s", path);
	}
	if (read(fd, out, UUID_TEXT_SIZE) != UUID_TEXT_SIZE) {
		return err_new(-EIO, "read %s", path);
	}
	out[UUID_TEXT_SIZE] = '\0';
	return 0;
}
