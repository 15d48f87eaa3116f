/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `sums` is an array of CRC32C, one per block, and a foot; the numbers are in the byte order of the
 * machine, as those of LMDB are.
 */
#include "catalogd/sums.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/hash.h"

enum { BLOCK_SIZE = 256 << 10 };

static const char magic[8] = "MSUMS1\n";

struct foot {
	uint64_t index, term, data_size;
	uint32_t reserved;
	uint32_t crc; /* of everything before it */
	char magic[8];
};

static void path_of(char out[PATH_MAX], const char *directory, const char *name)
{
	must(snprintf(out, PATH_MAX, "%s/%s", directory, name) < PATH_MAX);
}

static int file_open(const char *directory, const char *name, int flags)
{
	char path[PATH_MAX];
	int fd;

	path_of(path, directory, name);
	fd = open(path, flags | O_CLOEXEC, 0640);
	if (fd < 0) {
		return errno == ENOENT && !(flags & O_CREAT) ? -ENOENT : err_errno("open %s", path);
	}
	return fd;
}

static int read_all(int fd, void *to, size_t n, off_t at)
{
	size_t done = 0;

	while (done < n) {
		ssize_t got = pread(fd, (char *)to + done, n - done, at + (off_t)done);

		if (got < 0) {
			return err_errno("read snapshot");
		}
		if (!got) {
			return ST_CORRUPT;
		}
		done += (size_t)got;
	}
	return 0;
}

static int write_all(int fd, const void *from, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t put = write(fd, (const char *)from + done, n - done);

		if (put < 0) {
			return err_errno("write snapshot");
		}
		done += (size_t)put;
	}
	return 0;
}

/* The array and the foot for the data.mdb behind fd. */
static int compute(int fd, uint64_t index, uint64_t term, struct buf *out)
{
	OWN_EMBEDDED(buf_fini) struct buf block = { 0 };
	struct foot foot = { .index = index, .term = term };
	struct stat st;
	int r = fstat(fd, &st) ? err_errno("stat snapshot") : 0;

	foot.data_size = r ? 0 : (uint64_t)st.st_size;
	memcpy(foot.magic, magic, sizeof(magic));
	for (uint64_t at = 0; at < foot.data_size && !r; at += BLOCK_SIZE) {
		size_t n = min_of((uint64_t)BLOCK_SIZE, foot.data_size - at);
		uint32_t crc;

		buf_clear(&block);
		r = read_all(fd, buf_reserve(&block, BLOCK_SIZE), n, (off_t)at);
		crc = r ? 0 : crc32c(0, block.p, n);
		buf_put(out, &crc, sizeof(crc));
	}
	buf_put(out, &foot, offsetof(struct foot, crc));
	foot.crc = crc32c(0, out->p, out->n);
	buf_put(out, &foot.crc, sizeof(foot) - offsetof(struct foot, crc));
	return r;
}

int sums_write(const char *directory, uint64_t index, uint64_t term)
{
	OWN_EMBEDDED(buf_fini) struct buf sums = { 0 };
	OWN_FD int data = file_open(directory, "data.mdb", O_RDONLY);
	OWN_FD int fd = file_open(directory, "sums", O_WRONLY | O_CREAT | O_TRUNC);
	int r;

	if (data < 0 || fd < 0) {
		return data < 0 ? data : fd;
	}
	r = compute(data, index, term, &sums);
	if (!r) {
		r = write_all(fd, sums.p, sums.n);
	}
	return !r && fsync(fd) ? err_errno("sync sums") : r;
}

int sums_check(const char *directory, uint64_t index, uint64_t term)
{
	OWN_EMBEDDED(buf_fini) struct buf sums = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf stored = { 0 };
	OWN_FD int data = file_open(directory, "data.mdb", O_RDONLY);
	OWN_FD int fd = file_open(directory, "sums", O_RDONLY);
	struct stat st;
	int r;

	if (data < 0 || fd < 0) {
		return data == -ENOENT || fd == -ENOENT ? ST_NOT_FOUND : data < 0 ? data : fd;
	}
	r = compute(data, index, term, &sums);
	if (r) {
		return r;
	}
	if (fstat(fd, &st) || (size_t)st.st_size != sums.n) {
		return ST_CORRUPT;
	}
	r = read_all(fd, buf_reserve(&stored, sums.n), sums.n, 0);
	return r ? r : memcmp(stored.p, sums.p, sums.n) ? ST_CORRUPT : 0;
}

/* Where the sums begin in a stream of this size. */
static int sums_find(int fd, off_t size, off_t *at_out)
{
	struct foot foot;
	uint64_t blocks;
	int r;

	if (size < (off_t)sizeof(foot)) {
		return ST_CORRUPT;
	}
	r = read_all(fd, &foot, sizeof(foot), size - (off_t)sizeof(foot));
	if (r) {
		return r;
	}
	if (memcmp(foot.magic, magic, sizeof(magic)) != 0 || foot.data_size > (uint64_t)size) {
		return ST_CORRUPT;
	}
	blocks = (foot.data_size + BLOCK_SIZE - 1) / BLOCK_SIZE;
	*at_out = (off_t)foot.data_size;
	return foot.data_size + blocks * sizeof(uint32_t) + sizeof(foot) == (uint64_t)size
		       ? 0
		       : ST_CORRUPT;
}

int sums_unpack(const char *directory)
{
	OWN_EMBEDDED(buf_fini) struct buf sums = { 0 };
	OWN_FD int stream = file_open(directory, "stream", O_RDWR);
	OWN_FD int fd = file_open(directory, "sums", O_WRONLY | O_CREAT | O_TRUNC);
	char from[PATH_MAX], to[PATH_MAX];
	off_t size, at;
	int r;

	if (stream < 0 || fd < 0) {
		return stream < 0 ? stream : fd;
	}
	size = lseek(stream, 0, SEEK_END);
	r = sums_find(stream, size, &at);
	if (!r) {
		r = read_all(
			stream, buf_reserve(&sums, (size_t)(size - at)), (size_t)(size - at), at);
	}
	if (!r) {
		r = write_all(fd, sums.p, (size_t)(size - at));
	}
	if (r) {
		return r;
	}
	path_of(from, directory, "stream");
	path_of(to, directory, "data.mdb");
	if (ftruncate(stream, at) || fsync(stream) || fsync(fd) || rename(from, to)) {
		return err_errno("unpack %s", from);
	}
	return 0;
}
