# What AWS Lambda runs: target lambda-runtime gathers the bootstrap and all that it needs, package-lambda adds the
# handlers of config/template.yaml (`perigee package`): lambda.zip, and the same unpacked in lambda/.

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  set(loader ld-linux-x86-64.so.2)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  set(loader ld-linux-aarch64.so.1)
else()
  return() # Lambda has no such machines
endif()
if(PERIGEE_SANITIZE OR PERIGEE_COVERAGE)
  return()
endif()

# The loader and libc of the package are its own, whatever the system has. DT_RPATH (not DT_RUNPATH): it goes before
# LD_LIBRARY_PATH, in which Lambda names the system's directories, and holds for what the libraries load in turn.
add_executable(bootstrap-lambda src/bootstrap.c)
target_link_libraries(bootstrap-lambda PRIVATE perigee_lib)
perigee_bootstrap(bootstrap-lambda)
target_link_options(bootstrap-lambda PRIVATE -s -Wl,--dynamic-linker=/var/task/lib/${loader} -Wl,--disable-new-dtags
  -fno-asynchronous-unwind-tables # with link-time optimization it is here that code is made
  -Wl,--no-eh-frame-hdr -Wl,-T,${CMAKE_SOURCE_DIR}/cmake/no-unwind.ld)
set_target_properties(bootstrap-lambda PROPERTIES BUILD_RPATH /var/task/lib EXCLUDE_FROM_ALL TRUE
  LINK_DEPENDS ${CMAKE_SOURCE_DIR}/cmake/no-unwind.ld)

# Relocations in a fiftieth of the room (DT_RELR): where the linker makes them and the loader, which goes into the
# package, knows them.
include(CheckCSourceRuns)
set(CMAKE_REQUIRED_LINK_OPTIONS -Wl,-z,pack-relative-relocs)
check_c_source_runs("const char *volatile texts[] = {\"a\", \"b\"}; int main(void) { return texts[1][0] - 'b'; }" PERIGEE_RELR)
unset(CMAKE_REQUIRED_LINK_OPTIONS)
if(PERIGEE_RELR)
  target_link_options(bootstrap-lambda PRIVATE -Wl,-z,pack-relative-relocs)
endif()

set(runtime ${CMAKE_BINARY_DIR}/lambda-runtime)
add_custom_command(OUTPUT ${runtime}.stamp
  COMMAND ${CMAKE_SOURCE_DIR}/cmake/lambda-runtime.sh ${CMAKE_C_COMPILER} $<TARGET_FILE:bootstrap-lambda> ${runtime}
  COMMAND ${CMAKE_COMMAND} -E touch ${runtime}.stamp
  DEPENDS bootstrap-lambda ${CMAKE_SOURCE_DIR}/cmake/lambda-runtime.sh VERBATIM)
add_custom_target(lambda-runtime DEPENDS ${runtime}.stamp)
add_custom_target(package-lambda
  COMMAND ${CMAKE_COMMAND} -E rm -rf ${CMAKE_BINARY_DIR}/lambda
  COMMAND perigee package --template config/template.yaml --runtime ${runtime} --out ${CMAKE_BINARY_DIR}/lambda.zip
          --dir ${CMAKE_BINARY_DIR}/lambda
  WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} VERBATIM)
add_dependencies(package-lambda perigee lambda-runtime)
install(DIRECTORY ${runtime}/ DESTINATION lib/perigee/lambda USE_SOURCE_PERMISSIONS OPTIONAL)
