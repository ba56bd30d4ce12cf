/* The smallest app there is: one line for each hook, then the end. */
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    const char *hook = argc > 1 ? strstr(argv[1], "::") : NULL;

    puts(hook && strcmp(hook, "::receive") == 0 ? "{\"ok\":1}" : "true");
    return 0;
}
