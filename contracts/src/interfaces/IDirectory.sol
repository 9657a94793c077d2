// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Params} from "../types/Types.sol";

/// @notice The one address to know: the network's parameters, and the current contract of each kind with its version.
interface IDirectory {
    error AlreadyConfigured();
    error NotConfigured();
    /// @param field Name of the parameter that is out of range.
    error BadParameter(string field);
    error NotAContract(bytes32 kind, address given);

    event Configured(Params params);
    event ContractSet(bytes32 indexed kind, address indexed current, uint32 version);

    /// @notice Sets the network's parameters. Owner only, once, before any other contract is deployed.
    function configure(Params calldata given) external;

    /// @notice Names the current contract of a kind; counts its version up. Owner only.
    /// @param kind keccak256 of the contract's name, as in Kinds.
    function set(bytes32 kind, address current) external;

    /// @notice The current contract of a kind; zero if there is none.
    function get(bytes32 kind) external view returns (address);

    /// @notice How often the contract of this kind has been set.
    function version(bytes32 kind) external view returns (uint32);

    /// @notice The parameters, defaults filled in. Reverts with NotConfigured before configure.
    function params() external view returns (Params memory);

    /// @notice EIP-712 domain of everything that members sign: name "Peerage", version "1", this chain, this contract.
    function domainSeparator() external view returns (bytes32);
}
