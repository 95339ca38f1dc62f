# Fails if an object file of the kernels defines a symbol outside of its own namespace: the linker
# could then give another build, or the core, a function for a CPU that is not there.
#
#   cmake -DNM=nm -DISA=avx2 "-DOBJECTS=table_f64.o;table_f32.o" -P check_symbols.cmake
execute_process(COMMAND ${NM} --demangle --defined-only --extern-only ${OBJECTS}
                OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
string(REPLACE ";" "," symbols "${symbols}")
string(REPLACE "\n" ";" symbols "${symbols}")
foreach(symbol IN LISTS symbols)
  if(symbol MATCHES "^[0-9a-f]+ [A-Za-z] " AND NOT symbol MATCHES "mlpcore::${ISA}::")
    message(FATAL_ERROR "the ${ISA} kernels define a symbol that others may share: ${symbol}")
  endif()
endforeach()
