/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sequence lock in a mapped file: the writer makes the sequence odd, copies, makes it even; a
 * reader copies and believes it only when the sequence was even and the same before and after.
 */
#include "common/sys/page.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/sys/clock.h"
#include "common/sys/share.h"

struct shared {
	char boot[UUID_TEXT_SIZE + 4]; /* the machine's run in which this was published */
	_Atomic uint64_t sequence;     /* 0: nothing published yet */
	char content[];
};

struct page_writer {
	struct shared *shared;
	size_t size;
};

struct page_reader {
	struct shared *shared; /* NULL until the file is there */
	size_t size;
	char path[];
};

static int shared_map(int fd, size_t size, int protection, struct shared **out)
{
	void *p = mmap(NULL, sizeof(struct shared) + size, protection, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED) {
		return err_errno("mmap status page");
	}
	*out = p;
	return 0;
}

int page_writer_open(const char *path, size_t size, struct page_writer **out)
{
	OWN_FD int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	char boot[UUID_TEXT_SIZE + 1];
	struct shared *shared;
	int r;

	if (fd < 0) {
		return err_errno("open %s", path);
	}
	if (ftruncate(fd, (off_t)(sizeof(struct shared) + size))) {
		return err_errno("ftruncate %s", path);
	}
	r = share_file(path, path, 0640);
	r = r ? r : boot_id_read(boot);
	r = r ? r : shared_map(fd, size, PROT_READ | PROT_WRITE, &shared);
	if (r) {
		return err_pass(r);
	}
	if (memcmp(shared->boot, boot, sizeof(boot)) != 0) {
		memset(shared, 0, sizeof(*shared) + size);
		memcpy(shared->boot, boot, sizeof(boot));
	}
	if (atomic_load(&shared->sequence) & 1) { /* a writer died in the middle */
		atomic_fetch_add(&shared->sequence, 1);
	}
	*out = xcalloc(1, sizeof(**out));
	**out = (struct page_writer) { shared, size };
	return 0;
}

void page_writer_free(struct page_writer *w)
{
	munmap(w->shared, sizeof(struct shared) + w->size);
	free(w);
}

void page_publish(struct page_writer *w, const void *content)
{
	uint64_t sequence = atomic_load_explicit(&w->shared->sequence, memory_order_relaxed);

	atomic_store_explicit(&w->shared->sequence, sequence + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	memcpy(w->shared->content, content, w->size);
	atomic_store_explicit(&w->shared->sequence, sequence + 2, memory_order_release);
}

struct page_reader *page_reader_new(const char *path, size_t size)
{
	struct page_reader *r = xcalloc(1, sizeof(*r) + strlen(path) + 1);

	r->size = size;
	memcpy(r->path, path, strlen(path));
	return r;
}

void page_reader_free(struct page_reader *r)
{
	if (r->shared) {
		munmap(r->shared, sizeof(struct shared) + r->size);
	}
	free(r);
}

static bool reader_map(struct page_reader *r)
{
	OWN_FD int fd = open(r->path, O_RDONLY | O_CLOEXEC);
	char boot[UUID_TEXT_SIZE + 1];
	struct shared *shared;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) || (size_t)st.st_size < sizeof(*shared) + r->size ||
		boot_id_read(boot) || shared_map(fd, r->size, PROT_READ, &shared)) {
		return false;
	}
	if (memcmp(shared->boot, boot, sizeof(boot)) != 0) { /* left over from before a restart of
								the machine */
		munmap(shared, sizeof(*shared) + r->size);
		return false;
	}
	r->shared = shared;
	return true;
}

bool page_read(struct page_reader *r, void *out)
{
	memset(out, 0, r->size);
	if (!r->shared && !reader_map(r)) {
		return false;
	}
	for (int tries = 0; tries < 1000; tries++) {
		uint64_t before = atomic_load_explicit(&r->shared->sequence, memory_order_acquire);

		if (before == 0) {
			return false;
		}
		if (before & 1) {
			continue;
		}
		memcpy(out, r->shared->content, r->size);
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(&r->shared->sequence, memory_order_relaxed) == before) {
			return true;
		}
	}
	memset(out, 0, r->size); /* the writer stopped in the middle: as if there were none, until
				    its successor mends it */
	return false;
}
