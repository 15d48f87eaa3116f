/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disk as a directory of this machine, locked against a second process.
 */
#include "raftd/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"

struct real_disk {
	struct disk disk;
	int fd; /* of the directory, locked */
};

struct real_file {
	struct disk_file file;
	int fd;
};

static struct real_disk *real_of(struct disk *d)
{
	return container_of(d, struct real_disk, disk);
}

static int fd_of(struct disk_file *f)
{
	return container_of(f, struct real_file, file)->fd;
}

static int real_list(struct disk *d, void (*on_name)(void *arg, const char *name), void *arg)
{
	OWN_FD int fd = openat(real_of(d)->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	DIR *dir;
	int error;

	if (fd < 0) {
		return err_errno("open log directory");
	}
	dir = fdopendir(fd);
	if (!dir) {
		return err_errno("read log directory");
	}
	take_fd(&fd);
	while (errno = 0, (entry = readdir(dir))) {
		if (entry->d_name[0] != '.') {
			on_name(arg, entry->d_name);
		}
	}
	error = errno; /* the end, or what is behind it could not be read */
	closedir(dir);
	errno = error;
	return error ? err_errno("read log directory") : 0;
}

static int real_open(struct disk *d, const char *name, struct disk_file **out, uint64_t *size_out)
{
	OWN_FD int fd = openat(real_of(d)->fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	struct real_file *f;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		return err_errno("open %s", name);
	}
	f = xcalloc(1, sizeof(*f));
	f->file.disk = d;
	f->fd = take_fd(&fd);
	*size_out = (uint64_t)st.st_size;
	*out = &f->file;
	return 0;
}

static int real_remove(struct disk *d, const char *name)
{
	return unlinkat(real_of(d)->fd, name, 0) < 0 ? err_errno("remove %s", name) : 0;
}

static int real_sync_names(struct disk *d)
{
	return fsync(real_of(d)->fd) < 0 ? err_errno("sync log directory") : 0;
}

static int real_read(struct disk_file *f, uint64_t offset, void *out, size_t n)
{
	char *at = out;

	while (n) {
		ssize_t got = pread(fd_of(f), at, n, (off_t)offset);

		if (got < 0 && errno == EINTR) {
			continue;
		}
		if (got <= 0) {
			return got < 0 ? err_errno("read log file")
				       : err_new(-EIO, "read log file: it ends at %llu",
						 (unsigned long long)offset);
		}
		at += got;
		offset += (uint64_t)got;
		n -= (size_t)got;
	}
	return 0;
}

static int real_write(struct disk_file *f, uint64_t offset, const void *p, size_t n)
{
	const char *at = p;

	while (n) {
		ssize_t put = pwrite(fd_of(f), at, n, (off_t)offset);

		if (put < 0 && errno == EINTR) {
			continue;
		}
		if (put < 0) {
			return err_errno("write log file");
		}
		at += put;
		offset += (uint64_t)put;
		n -= (size_t)put;
	}
	return 0;
}

static int real_sync(struct disk_file *f)
{
	return fdatasync(fd_of(f)) < 0 ? err_errno("sync log file") : 0;
}

static void real_close(struct disk_file *f)
{
	close(fd_of(f));
	free(container_of(f, struct real_file, file));
}

int disk_real_new(const char *directory, struct disk **out)
{
	static const struct disk_ops ops = {
		.list = real_list,
		.open = real_open,
		.remove = real_remove,
		.sync_names = real_sync_names,
		.read = real_read,
		.write = real_write,
		.sync = real_sync,
		.close = real_close,
	};
	OWN_FD int fd = -1;
	struct real_disk *d;

	if (mkdir(directory, 0750) < 0 && errno != EEXIST) {
		return err_errno("make %s", directory);
	}
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		return err_errno("open %s", directory);
	}
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		return err_errno("lock %s (another raftd uses it?)", directory);
	}
	d = xcalloc(1, sizeof(*d));
	d->disk.ops = &ops;
	d->fd = take_fd(&fd);
	*out = &d->disk;
	return 0;
}

void disk_real_free(struct disk *d)
{
	close(real_of(d)->fd);
	free(real_of(d));
}
