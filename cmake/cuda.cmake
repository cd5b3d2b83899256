# The CUDA toolkit, cuDNN and NCCL: EYESORE_CUDA says whether the cuda engine is built.
#   WITH_CUDA=AUTO (where all three are found), ON (else an error), OFF
#   CUDA_ARCHITECTURES: of the own kernels; the last is also kept as PTX for later devices
set(WITH_CUDA AUTO CACHE STRING "Build the cuda engine: AUTO, ON or OFF")
set_property(CACHE WITH_CUDA PROPERTY STRINGS AUTO ON OFF)
set(CUDA_ARCHITECTURES "80;90;100" CACHE STRING "Compute capabilities the own kernels are compiled for")
set(EYESORE_CUDA FALSE)

if(NOT WITH_CUDA STREQUAL "OFF")
  find_package(CUDAToolkit 13 QUIET)
  find_path(CUDNN_INCLUDE cudnn.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  find_library(CUDNN_LIBRARY cudnn HINTS ${CUDAToolkit_LIBRARY_DIR})
  find_path(NCCL_INCLUDE nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  find_library(NCCL_LIBRARY nccl HINTS ${CUDAToolkit_LIBRARY_DIR})
  set(nccl_there FALSE)
  if(KERNELS_ONLY OR (NCCL_INCLUDE AND NCCL_LIBRARY)) # one GPU needs none
    set(nccl_there TRUE)
  endif()
  if(CUDAToolkit_FOUND AND CUDAToolkit_NVCC_EXECUTABLE AND CUDNN_INCLUDE AND CUDNN_LIBRARY AND nccl_there)
    set(EYESORE_CUDA TRUE)
  elseif(WITH_CUDA STREQUAL "ON")
    message(FATAL_ERROR "WITH_CUDA=ON, but not all is there: CUDA 13 (${CUDAToolkit_NVCC_EXECUTABLE}), "
                        "cuDNN 9 (${CUDNN_LIBRARY}), NCCL 2 (${NCCL_LIBRARY}). "
                        "Give -DCUDAToolkit_ROOT=, -DCUDNN_LIBRARY= and -DCUDNN_INCLUDE=, -DNCCL_LIBRARY= and -DNCCL_INCLUDE=")
  endif()
endif()

if(EYESORE_CUDA)
  message(STATUS "cuda engine: CUDA ${CUDAToolkit_VERSION}, ${CUDNN_LIBRARY}, ${NCCL_LIBRARY}")
  add_library(cuda_headers INTERFACE)
  target_include_directories(cuda_headers SYSTEM INTERFACE ${CUDAToolkit_INCLUDE_DIRS} ${CUDNN_INCLUDE})
  if(NCCL_INCLUDE)
    target_include_directories(cuda_headers SYSTEM INTERFACE ${NCCL_INCLUDE})
  endif()
else()
  message(STATUS "cuda engine: not built (WITH_CUDA=${WITH_CUDA})")
endif()

# eyesore_nvcc(OUT FILE.cu...): an object of each, by nvcc. Not CMake's CUDA language: its linking and flags would
# spread to every program.
function(eyesore_nvcc OUT)
  set(gencode)
  foreach(arch ${CUDA_ARCHITECTURES})
    list(APPEND gencode -gencode arch=compute_${arch},code=sm_${arch})
  endforeach()
  list(POP_BACK CUDA_ARCHITECTURES newest)
  list(APPEND gencode -gencode arch=compute_${newest},code=compute_${newest})
  set(objects)
  foreach(source ${ARGN})
    get_filename_component(name ${source} NAME_WE)
    set(object ${CMAKE_CURRENT_BINARY_DIR}/nvcc/${name}.o)
    add_custom_command(
      OUTPUT ${object}
      COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_CURRENT_BINARY_DIR}/nvcc
      COMMAND ${CUDAToolkit_NVCC_EXECUTABLE} -c -O3 -std=c++17 ${gencode} -lineinfo -Werror all-warnings
              -Xptxas -warn-spills -Xcompiler -Wall,-Wextra,-Werror,-fPIC -I${CMAKE_SOURCE_DIR}
              -I${CMAKE_SOURCE_DIR}/kernels/cuda/nvcc -MD -MF ${object}.d -o ${object}
              ${CMAKE_CURRENT_SOURCE_DIR}/${source}
      DEPENDS ${source} DEPFILE ${object}.d VERBATIM)
    list(APPEND objects ${object})
  endforeach()
  set(${OUT} ${objects} PARENT_SCOPE)
endfunction()
