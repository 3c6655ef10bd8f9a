/* A Video4Linux2 camera that is made up: preloaded into a program, it answers for the device at $CAMERA_PATH.
 *
 * $CAMERA_SCRIPT says what happens each time the device is opened, in parts divided by ';':
 *   absent                                  there is no such device
 *   busy                                    another program has it
 *   FOURCC W H STRIDE SPACE RANGE: EVENTS   what the driver makes of any format that is asked for, then, one after the other:
 *     ok     a buffer filled with the number of this event (rows of STRIDE bytes), or, of MJPG, the file $CAMERA_JPEG
 *     error  the same, flagged as damaged
 *     short  half of it
 *     gone   the device is unplugged
 * After the last event it is silent. What it is asked for is written to $CAMERA_LOG, a line each. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BUFFERS = 4, BUFFER_BYTES = 1 << 20 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int device = -1, memory = -1, opened, streaming, gone;
static char script[4096], events[1024], *part;
static struct v4l2_pix_format format;
static uint8_t *pixels;
static int queued[BUFFERS], filled[BUFFERS + 1], filled_count;
static struct { uint32_t used, flags; } result[BUFFERS];

static void say(const char *text, ...) {
    FILE *log = fopen(getenv("CAMERA_LOG"), "a");
    if (!log) return;
    va_list arguments;
    va_start(arguments, text);
    vfprintf(log, text, arguments);
    va_end(arguments);
    fputc('\n', log);
    fclose(log);
}

__attribute__((constructor)) static void loaded(void) {
    if (!getenv("CAMERA_PATH")) return;
    say("loaded");
    snprintf(script, sizeof script, "%s", getenv("CAMERA_SCRIPT"));
}

/* The bytes of the next frame. */
static uint32_t fill(uint8_t *into, int number) {
    if (format.pixelformat == V4L2_PIX_FMT_MJPEG) {
        FILE *file = fopen(getenv("CAMERA_JPEG"), "rb");
        size_t used = file ? fread(into, 1, BUFFER_BYTES - 16, file) : 0;
        if (file) fclose(file);
        memset(into + used, 0, 16);
        return used + 16;
    }
    memset(into, 0xee, format.sizeimage);
    for (uint32_t y = 0; y < format.height; y++)
        for (uint32_t x = 0; x < 2 * format.width; x++)
            into[y * format.bytesperline + x] = x % 2 ? 128 : number;
    return format.sizeimage;
}

/* Fills buffers as the script says. */
static void *produce(void *generation) {
    char *rest = NULL;
    int number = 0;
    for (char *event = strtok_r(events, " ", &rest); event; event = strtok_r(NULL, " ", &rest)) {
        usleep(2000);
        pthread_mutex_lock(&lock);
        int index = -1;
        while (opened == (int)(intptr_t)generation && streaming && index < 0 && strcmp(event, "gone")) {
            for (int i = 0; i < BUFFERS && index < 0; i++)
                if (queued[i]) index = i;
            if (index < 0) pthread_cond_wait(&changed, &lock);
        }
        if (opened != (int)(intptr_t)generation || !streaming) {
            pthread_mutex_unlock(&lock);
            return NULL;
        }
        if (index < 0) {
            gone = 1;
        } else {
            queued[index] = 0;
            result[index].used = fill(pixels + index * BUFFER_BYTES, ++number);
            if (!strcmp(event, "short")) result[index].used /= 2;
            result[index].flags = strcmp(event, "error") ? 0 : V4L2_BUF_FLAG_ERROR;
            filled[filled_count++] = index;
        }
        eventfd_write(device, 1);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static int open_device(void) {
    static char *rest;
    part = strtok_r(rest ? NULL : script, ";", &rest);
    say("open %s", part ? part : "absent");
    if (!part || !strcmp(part, "absent")) {
        errno = ENOENT;
        return -1;
    }
    pthread_mutex_lock(&lock);
    opened++;
    streaming = gone = filled_count = 0;
    memset(queued, 0, sizeof queued);
    device = eventfd(0, EFD_SEMAPHORE | EFD_CLOEXEC);
    pthread_mutex_unlock(&lock);
    return device;
}

static int set_format(struct v4l2_format *asked) {
    struct v4l2_pix_format *pix = &asked->fmt.pix;
    say("S_FMT %.4s %ux%u", (char *)&pix->pixelformat, pix->width, pix->height);
    char fourcc[5] = "";
    if (!strcmp(part, "busy")) {
        errno = EBUSY;
        return -1;
    }
    memset(pix, 0, sizeof *pix);
    sscanf(part, "%4c %u %u %u %u %u: %1023[^;]", fourcc, &pix->width, &pix->height, &pix->bytesperline, &pix->colorspace,
           &pix->quantization, events);
    memcpy(&pix->pixelformat, fourcc, 4);
    pix->field = V4L2_FIELD_NONE;
    pix->sizeimage = pix->bytesperline ? pix->bytesperline * pix->height : BUFFER_BYTES;
    format = *pix;
    return 0;
}

static int enumerate(unsigned long request, void *argument) {
    static const uint32_t formats[] = {V4L2_PIX_FMT_H264, V4L2_PIX_FMT_MJPEG, V4L2_PIX_FMT_YUYV, V4L2_PIX_FMT_NV12};
    static const uint32_t sizes[][2] = {{640, 480}, {1280, 720}};
    errno = EINVAL;
    if (request == VIDIOC_ENUM_FMT) {
        struct v4l2_fmtdesc *asked = argument;
        if (asked->type != V4L2_BUF_TYPE_VIDEO_CAPTURE || asked->index > 3) return -1;
        asked->pixelformat = formats[asked->index];
        return 0;
    }
    if (request == VIDIOC_ENUM_FRAMESIZES) {
        struct v4l2_frmsizeenum *asked = argument;
        if (asked->pixel_format == V4L2_PIX_FMT_NV12 && asked->index == 0) {
            asked->type = V4L2_FRMSIZE_TYPE_STEPWISE;
            asked->stepwise = (struct v4l2_frmsize_stepwise){16, 800, 16, 16, 608, 16};
            return 0;
        }
        if (asked->index > 1) return -1;
        asked->type = V4L2_FRMSIZE_TYPE_DISCRETE;
        asked->discrete.width = sizes[asked->index][0];
        asked->discrete.height = sizes[asked->index][1];
        return 0;
    }
    struct v4l2_frmivalenum *asked = argument;
    if (asked->index > 0) return -1;
    asked->type = V4L2_FRMIVAL_TYPE_DISCRETE;
    asked->discrete.numerator = 1;
    asked->discrete.denominator = asked->pixel_format == V4L2_PIX_FMT_YUYV && asked->width > 640 ? 10 : 30;
    return 0;
}

static int dequeue(struct v4l2_buffer *buffer) {
    eventfd_t count;
    if (eventfd_read(device, &count)) return -1;
    pthread_mutex_lock(&lock);
    if (filled_count == 0) {
        pthread_mutex_unlock(&lock);
        errno = ENODEV;
        return -1;
    }
    buffer->index = filled[0];
    memmove(filled, filled + 1, sizeof filled - sizeof *filled);
    filled_count--;
    buffer->bytesused = result[buffer->index].used;
    buffer->flags = result[buffer->index].flags;
    pthread_mutex_unlock(&lock);
    return 0;
}

static int answer(unsigned long request, void *argument) {
    switch (request) {
    case VIDIOC_QUERYCAP: {
        struct v4l2_capability *can = argument;
        memset(can, 0, sizeof *can);
        can->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        can->capabilities = can->device_caps | V4L2_CAP_DEVICE_CAPS;
        return 0;
    }
    case VIDIOC_ENUM_FMT:
    case VIDIOC_ENUM_FRAMESIZES:
    case VIDIOC_ENUM_FRAMEINTERVALS:
        return enumerate(request, argument);
    case VIDIOC_S_FMT:
        return set_format(argument);
    case VIDIOC_S_PARM: {
        struct v4l2_fract *interval = &((struct v4l2_streamparm *)argument)->parm.capture.timeperframe;
        say("S_PARM %u/%u", interval->numerator, interval->denominator);
        return 0;
    }
    case VIDIOC_REQBUFS: {
        struct v4l2_requestbuffers *wanted = argument;
        if (wanted->count > BUFFERS) wanted->count = BUFFERS;
        if (memory < 0) {
            memory = memfd_create("camera", MFD_CLOEXEC);
            if (ftruncate(memory, BUFFERS * BUFFER_BYTES)) return -1;
            pixels = (uint8_t *)syscall(SYS_mmap, NULL, BUFFERS * BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0L);
        }
        return 0;
    }
    case VIDIOC_QUERYBUF: {
        struct v4l2_buffer *buffer = argument;
        buffer->length = BUFFER_BYTES;
        buffer->m.offset = buffer->index * BUFFER_BYTES;
        return 0;
    }
    case VIDIOC_QBUF:
        pthread_mutex_lock(&lock);
        queued[((struct v4l2_buffer *)argument)->index] = 1;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
        return 0;
    case VIDIOC_DQBUF:
        return dequeue(argument);
    case VIDIOC_STREAMON: {
        say("STREAMON");
        streaming = 1;
        pthread_t thread;
        if (pthread_create(&thread, NULL, produce, (void *)(intptr_t)opened)) return -1;
        return pthread_detach(thread);
    }
    case VIDIOC_STREAMOFF:
        say("STREAMOFF");
        pthread_mutex_lock(&lock);
        streaming = 0;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
        return 0;
    default:
        errno = ENOTTY;
        return -1;
    }
}

/* What the program calls instead of the C library. */

static int open_any(const char *path, int flags, mode_t mode) {
    const char *ours = getenv("CAMERA_PATH");
    if (ours && path && !strcmp(path, ours)) return open_device();
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = va_arg(arguments, mode_t);
    va_end(arguments);
    return open_any(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = va_arg(arguments, mode_t);
    va_end(arguments);
    return open_any(path, flags | O_LARGEFILE, mode);
}

int ioctl(int file, unsigned long request, ...) {
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (file == device && file >= 0) {
        if (gone && request != VIDIOC_DQBUF) {
            errno = ENODEV;
            return -1;
        }
        return answer((uint32_t)request, argument);
    }
    return (int)syscall(SYS_ioctl, file, request, argument);
}

void *mmap(void *at, size_t length, int protection, int flags, int file, off_t offset) {
    if (file == device && file >= 0) file = memory;
    return (void *)syscall(SYS_mmap, at, length, protection, flags, file, offset);
}

void *mmap64(void *at, size_t length, int protection, int flags, int file, off64_t offset) {
    return mmap(at, length, protection, flags, file, offset);
}

int close(int file) {
    if (file == device && file >= 0) {
        say("close");
        pthread_mutex_lock(&lock);
        device = -1;
        opened++;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
    }
    return (int)syscall(SYS_close, file);
}
