# One interface target that every target of the project links: warnings, sanitizers, include path.
add_library(eyesore_flags INTERFACE)
target_include_directories(eyesore_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_definitions(eyesore_flags INTERFACE _GNU_SOURCE EYESORE_VERSION="${PROJECT_VERSION}")
target_compile_options(eyesore_flags INTERFACE -Wall -Wextra -Wpedantic -Werror -Wpointer-arith -Wcast-qual
                       -Wvla
                       # snprintf cuts on purpose, or its result is checked
                       $<$<C_COMPILER_ID:GNU>:-Wno-format-truncation>
                       "$<$<COMPILE_LANGUAGE:C>:-Wshadow;-Wstrict-prototypes;-Wmissing-prototypes>"
                       -fno-math-errno -ffp-contract=off
                       -fmacro-prefix-map=${CMAKE_SOURCE_DIR}/=) # messages say kernels/cuda/..., not where it was built
if(SANITIZE)
  target_compile_options(eyesore_flags INTERFACE -fsanitize=${SANITIZE} -fno-sanitize-recover=all
                         -fno-omit-frame-pointer -UNDEBUG) # asserts, which the builds with optimisation leave out
  target_link_options(eyesore_flags INTERFACE -fsanitize=${SANITIZE})
endif()

# A folder of the project: eyesore_library(io SOURCES ... LINKS ...) makes the target eyesore_io.
function(eyesore_library NAME)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
  add_library(eyesore_${NAME} STATIC ${ARG_SOURCES})
  target_link_libraries(eyesore_${NAME} PUBLIC eyesore_flags ${ARG_LINKS})
endfunction()
