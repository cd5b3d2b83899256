/*
 * parity_weights FOLDER NAME: make FOLDER/NAME.safetensors, unless it is there and newer than this program
 * (which is linked anew whenever kernels/ changes). Appears whole or not at all, so several may run at once.
 */
#include "base/file.h"
#include "kernels/weights_init.h"
#include "tests/parity/networks.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static bool is_newer(const char *path, const char *than)
{
    struct stat a, b;
    return stat(path, &a) == 0 && stat(than, &b) == 0 &&
           (a.st_mtim.tv_sec > b.st_mtim.tv_sec ||
            (a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec > b.st_mtim.tv_nsec));
}

static enum status make(const char *folder, const struct parity_network *network, const char *name)
{
    enum status rc = STATUS_OK;
    struct geometry geometry;
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s.safetensors", folder, name);
    if (is_newer(path, "/proc/self/exe"))
        goto out;
    TRY(file_make_folders(folder));
    TRY(network_geometry(network->arch, network->attention, PARITY_CLASSES, &geometry));
    TRY(weights_init(&geometry, network->seed, path));
out:
    return rc;
}

int main(int argc, char **argv)
{
    for (int i = 0; argc == 3 && i < PARITY_NETWORKS; i++) {
        char name[64];
        parity_name(&parity_networks[i], name, sizeof(name));
        if (strcmp(name, argv[2]) == 0)
            return (int)status_exit_code(make(argv[1], &parity_networks[i], name));
    }
    fprintf(stderr, "usage: parity_weights FOLDER NAME, such as resnet50-plain\n");
    return EXIT_USAGE;
}
