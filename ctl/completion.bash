# bash completion for muster: commands, subcommands and flags as the program itself lists them.

_muster_words() {
	"$@" 2>&1 </dev/null | sed -nE 's/^ {4}([a-z][a-z-]*) .*/\1/p; s/^ +(-[a-z][a-z0-9-]*).*/\1/p'
}

_muster() {
	local word=${COMP_WORDS[COMP_CWORD]} path=("${COMP_WORDS[0]}") i
	for ((i = 1; i < COMP_CWORD; i++)); do
		[[ ${COMP_WORDS[i]} == -* ]] || path+=("${COMP_WORDS[i]}")
	done
	COMPREPLY=()
	if ((${#path[@]} > 3)); then
		path=("${path[@]:0:3}")
	fi
	if [[ ${#path[@]} -eq 1 ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_muster_words "${path[@]}" --help)" -- "$word")
	else
		mapfile -t COMPREPLY < <(compgen -W "$(_muster_words "${path[@]}" -h)" -- "$word")
	fi
	[[ ${#COMPREPLY[@]} -gt 0 || $word == -* ]] || mapfile -t COMPREPLY < <(compgen -f -- "$word")
}

complete -o filenames -F _muster muster
