#!/bin/bash
# make -j2 with gcc, and the program that comes of it.
. "$(dirname "$0")/../lib.sh"

for i in $(seq 12); do
  printf '#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <pthread.h>\nint f%d(int x){return x * %d;}\n' "$i" "$i" >"s$i.c"
done
{
  for i in $(seq 12); do echo "int f$i(int);"; done
  echo '#include <stdio.h>'
  echo "int main(){int s=0;$(for i in $(seq 12); do printf 's+=f%d(2);' "$i"; done)printf(\"%d\\n\",s);return 0;}"
} >main.c
printf 'a: main.o %s\n\tgcc -O2 -pthread -o $@ $^\n%%.o: %%.c\n\tgcc -O2 -g -c -o $@ $<\n' "$(echo s{1..12}.o)" >Makefile
make -s -j2
is result "$(./a)" 156
is "second make" "$(make)" "make: 'a' is up to date."
touch s3.c
is "compiled again" "$(make -n | grep -c -- -c)" 1
gcc -O2 -static -o b ./*.c && is "static result" "$(./b)" 156
